# In-Context Learning as Optimization. `make` or `make help` lists what there is.
SHELL        := /bin/sh
VENV         ?= .venv
BIN          := $(VENV)/bin
REQUIREMENTS ?= requirements.lock
# notebooks, test workers and browsers at once: the number of cores, at most 4
# (getconf, since nproc believes OMP_NUM_THREADS)
JOBS         ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); \
                  [ "$$n" -gt 4 ] && echo 4 || echo "$$n")
PYTHON       ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
                  command -v $$p >/dev/null 2>&1 && { echo $$p; break; }; done)
BROWSER      := $(shell for b in "$$CHROMIUM" chromium chromium-browser google-chrome \
                  google-chrome-stable "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"; do \
                  command -v "$$b" 2>/dev/null && break; done)
# the stamp carries a checksum of what was installed, so that a fresh checkout is not fooled by dates
STAMP        := $(VENV)/.installed-$(shell cat $(REQUIREMENTS) pyproject.toml 2>/dev/null | cksum | tr ' ' '-')

# one thread a kernel: JOBS kernels share the cores
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= PASSIVE
export GOMP_SPINCOUNT  ?= 0
export PYTHONHASHSEED  ?= 0
export PYTHONUNBUFFERED = 1
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export CHROMIUM      = $(BROWSER)
export JOBS
unexport MPLBACKEND

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help book serve test test-unit test-notebooks test-book test-site browser lab install lock \
        newest oldest doctor checkpoints-verify reproduce trials faults mutants reseed bench lint fmt hooks repository clean distclean

help: ## this list
	@echo "In-Context Learning as Optimization: make TARGET"
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 22 | sed 's/^/  /'
	@echo "Settings: JOBS=2 (how many notebooks, test workers, browsers at once), CPU_TORCH=1 (Linux: the small CPU build of torch first)"

install: $(STAMP) ## the environment alone (every other target does this first)

$(STAMP): $(REQUIREMENTS) pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python found: install Python 3.11, or say make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1). Say make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "== installing into $(VENV) with $$($(PYTHON) --version) (a minute or a few)"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { rm -rf $(VENV) && $(PYTHON) -m venv $(VENV); } || { \
	  echo "Could not make $(VENV): on Debian and Ubuntu install the package python3-venv (python3.11-venv)"; exit 1; }
	@test -z "$(CPU_TORCH)" || $(BIN)/python -m pip install --index-url https://download.pytorch.org/whl/cpu \
	  "$$(grep -E '^torch(==|$$)' $(REQUIREMENTS))"
	@$(BIN)/python -m pip install -r $(REQUIREMENTS) || { echo "make install: FAILED, pip's message is above"; exit 1; }
	@$(BIN)/python -m pip install --no-deps --no-build-isolation -e .
	@rm -f $(VENV)/.installed-* && touch $@

book: $(STAMP) ## install, execute every notebook that changed, build the site into _build/html
	@rm -rf _build/html _build/.doctrees
	@$(BIN)/jupyter-book build . -W -n --keep-going || { \
	  $(BIN)/python book/_ext/book_site.py problems; echo "make book: FAILED (see above)"; exit 1; }
	@echo "make book: done, open _build/html/index.html"

serve: ## look at the built site on http://127.0.0.1:8000
	@test -f _build/html/index.html || $(MAKE) --no-print-directory book
	@$(BIN)/python -m http.server --bind 127.0.0.1 -d _build/html 8000

test: $(STAMP) ## install and test everything: style, library, notebooks, pages
	@failed=""; for stage in lint test-unit test-notebooks test-book test-site; do \
	  echo "== make test: $$stage"; \
	  $(MAKE) --no-print-directory $$stage || failed="$$failed $$stage"; \
	done; \
	if [ -n "$$failed" ]; then echo "make test: FAILED in:$$failed (each is a make target)"; exit 1; fi; \
	echo "make test: all passed"

test-unit: $(STAMP) ## library, doctests, import contract, the book's extension, coverage
	@$(BIN)/python -m pytest -n $(JOBS) tests/unit tests/notebooks tests/extension icl_lib \
	  --cov=icl_lib --cov=book/_ext --cov-report=term-missing --cov-fail-under=95

test-notebooks: $(STAMP) ## execute every notebook that changed (nbmake), then the table of CPU seconds and memory
	@$(BIN)/python -m pytest -q -n $(JOBS) --maxschedchunk=1 book; rc=$$?; \
	$(BIN)/python book/_ext/book_runs.py; exit $$rc

test-book: $(STAMP) ## build the site if anything it shows has changed
	@if $(BIN)/python book/_ext/book_site.py fresh; then echo "the site in _build/html is up to date"; \
	else $(MAKE) --no-print-directory book; fi

test-site: $(STAMP) ## the built pages, those that need one in a real browser (make browser installs one)
	@$(BIN)/python -m pytest -n $(JOBS) tests/site

browser: ## install Chromium for the page tests (apt, as root)
	@if [ -n "$(BROWSER)" ]; then echo "browser: $(BROWSER) is there already"; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then apt-get update && apt-get install -y chromium; \
	else echo "make browser needs apt and root: run 'sudo make browser', or install Chromium or Chrome yourself"; exit 1; fi

lab: $(STAMP) ## JupyterLab on the notebooks
	@$(BIN)/jupyter lab --notebook-dir=. --LabApp.default_url=/lab/tree/book

doctor: $(STAMP) ## is this machine ready? what to do if not
	@$(BIN)/python -m icl_lib.teaching.doctor

checkpoints-verify: $(STAMP) ## evaluate every checkpoint again and compare with its record
	@$(BIN)/python -m icl_lib.experiments verify all

reproduce: $(STAMP) ## train the book's checkpoints anew and report: FAMILY="lsa1-k20 mesa1" WORKERS=2 SCHEDULER=tcp://...
	@$(BIN)/python -m icl_lib.experiments reproduce $(FAMILY) $(if $(WORKERS),--workers $(WORKERS)) \
	  $(if $(SCHEDULER),--scheduler $(SCHEDULER)) $(ARGS)

trials: $(STAMP) ## kill workers, fill disks, restart schedulers, TIMES=20 each (Linux, as root)
	@$(BIN)/python tests/scale/trials.py --times $(or $(TIMES),20) $(ARGS)

faults: $(STAMP) ## plant faults in a copy of the project, each must be caught
	@$(BIN)/python tests/faults.py $(ARGS)

mutants: $(STAMP) ## a random sample of mutants of theory/ and layers/ (SEED=1); the listed ones: ARGS=--hand
	@$(BIN)/python tests/mutants.py $(if $(SEED),--seed $(SEED)) $(ARGS)

reseed: $(STAMP) ## which claims flip under other random draws? OFFSETS=1-5 [CHAPTERS=03,05]
	@$(BIN)/python tests/reseed.py --offsets "$(or $(OFFSETS),1-5)" $(if $(CHAPTERS),--chapters "$(CHAPTERS)") $(ARGS)

bench: $(STAMP) ## speed of training steps and of the mesa-layer (ARGS=--write keeps the tables, --strict fails on a missed bar)
	@for f in benchmarks/[!_]*.py; do echo "== $$f"; $(BIN)/python "$$f" $(ARGS) || exit 1; done

lint: $(STAMP) ## style (ruff), prose (a sentence a line), types (pyright), workflow files
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/python book/_ext/book_prose.py --check
	@$(BIN)/basedpyright
	@$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(BIN)/check-jsonschema --builtin-schema vendor.github-actions .github/actions/*/action.yml
	@$(BIN)/zizmor --offline --no-progress --min-severity medium .github

fmt: $(STAMP) ## puts code (ruff) and prose (a sentence a line) in order
	@$(BIN)/ruff check --fix-only . && $(BIN)/ruff format .
	@$(BIN)/python book/_ext/book_prose.py

hooks: $(STAMP) ## check and put in order before every commit (pre-commit)
	@$(BIN)/pre-commit install

lock: $(STAMP) ## resolve requirements.in anew into requirements.lock
	@mkdir -p _build
	@$(BIN)/pip-compile --quiet --upgrade --allow-unsafe --no-emit-find-links --no-emit-index-url --no-emit-options \
	  --strip-extras --no-header --no-annotate requirements.in -o _build/lock.txt
	@sed -E '/^(#|--|$$)/d; s/==([^+ ]+)\+cpu/==\1/' _build/lock.txt > _build/lock.clean
	@test -s _build/lock.clean && mv _build/lock.clean requirements.lock && wc -l requirements.lock

newest: ## unit and notebook tests against the newest versions, in .venv-newest
	@rm -rf .venv-newest && mkdir -p _build && sed -E 's/==.*//' requirements.in > _build/newest.txt
	@$(MAKE) --no-print-directory VENV=.venv-newest REQUIREMENTS=_build/newest.txt test-unit test-notebooks

oldest: ## the library's tests with the oldest versions that pyproject.toml allows, in .venv-oldest
	@rm -rf .venv-oldest && mkdir -p _build && $(PYTHON) -m venv .venv-oldest
	@$(PYTHON) tests/oldest.py > _build/oldest.txt
	@test -z "$(CPU_TORCH)" || .venv-oldest/bin/pip install --index-url https://download.pytorch.org/whl/cpu \
	  "$$(grep '^torch==' _build/oldest.txt)"
	@.venv-oldest/bin/pip install -r _build/oldest.txt
	@.venv-oldest/bin/python -m pytest -q -n $(JOBS) tests/unit icl_lib

repository: $(STAMP) ## URL=https://github.com/...: launch buttons, source links, the notebooks' Colab cell
	@$(BIN)/python book/_ext/book_repository.py "$(URL)"

clean: ## remove what was built, and the states of unfinished runs
	@! ls _build/training/*.pid 2>/dev/null || { echo "a run is being trained (or was killed: then remove that file)"; exit 1; }
	rm -rf _build .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage

distclean: clean ## and the environment
	rm -rf .venv .venv-newest .venv-oldest *.egg-info
