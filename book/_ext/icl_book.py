"""The book's Sphinx extension: what is connected to what (the work is in the ``book_*`` modules).

* book_store     each chapter as it was executed, by digest (book_digest)
* book_cache     executes what is missing through pytest (book_pytest), fills MyST-NB's cache
* book_site      what the site was made from, problems, the first page
* book_payloads  claims and run reports of the executed chapters; book_checks judges them
* book_claims    a claim's line on the page
* book_papers    which papers there are, and what they number and state
* book_ledger    {claims-ledger} and {paper-statements} of a paper
* book_map       {paper-map} of a paper
* book_runs      {run-times}
* book_reproduced {reproduced-runs}
* book_api       the API pages' module lists
* book_assets    launch buttons, script fixes, the icon subset
* book_previews  what a link leads to, beside the link
* book_weight    lighter code and pictures that look the same
"""

import os
import sys
from pathlib import Path

# Kernels inherit this process's environment: one thread each, or two of them crawl (20 times).
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")
os.environ["ICL_CLAIMS"] = "strict"  # a claim that does not hold fails its notebook, always
os.environ.pop("ICL_SEED_OFFSET", None)
os.environ.pop("MPLBACKEND", None)  # "Agg" would drop every inline figure

# this clone's icl_lib, whatever else is installed
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import book_api
import book_assets
import book_cache
import book_claims
import book_ledger
import book_map
import book_reproduced
import book_runs
import book_site
import book_weight
from book_payloads import Generated, check_claims


def setup(app):
    app.add_config_value("icl_complete", True, "env", [bool])
    app.add_node(Generated)
    app.add_directive("claims-ledger", book_ledger.ClaimsLedger)
    app.add_directive("paper-statements", book_ledger.PaperStatements)
    app.add_directive("paper-map", book_map.PaperMap)
    app.add_directive("run-times", book_runs.RunTimes)
    app.add_directive("reproduced-runs", book_reproduced.ReproducedRuns)

    app.setup_extension("book_widgets")
    app.setup_extension("book_previews")

    app.connect("config-inited", book_assets.configure_repository, priority=100)
    app.connect("config-inited", book_site.begin)
    app.connect("config-inited", book_cache.provide, priority=900)  # after MyST-NB's own settings
    app.connect("env-get-outdated", book_site.outdated_documents)
    app.connect("source-read", book_api.fill_module_list)
    app.connect("autodoc-process-docstring", book_api.norms_are_not_substitutions)
    app.connect("missing-reference", book_api.foreign_type)
    app.connect("env-check-consistency", check_claims)
    app.connect("env-check-consistency", book_map.check_map)
    app.connect("env-check-consistency", book_ledger.check_statements)
    app.connect("doctree-resolved", book_claims.fill_claims)
    app.connect("doctree-resolved", book_claims.add_cell_anchors)
    app.connect("doctree-resolved", fill_generated)
    app.connect("html-page-context", book_api.name_toggles, priority=900)
    app.connect("html-page-context", book_assets.drop_thebe, priority=900)
    app.connect("build-finished", book_assets.lighten)
    app.connect("build-finished", book_weight.lighten, priority=700)  # after the theme's own styles
    app.connect("html-page-context", book_site.say_first_page)
    app.connect("build-finished", book_site.finish, priority=900)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": False}


def fill_generated(app, doctree, docname):
    """Replace every placeholder: by now all documents are read, so all payloads are there."""
    fillers = {
        "claims-ledger": book_ledger.ledger_nodes,
        "paper-statements": book_ledger.statement_nodes,
        "paper-map": book_map.map_nodes,
        "run-times": book_runs.run_time_nodes,
        "reproduced-runs": book_reproduced.reproduced_nodes,
    }
    for node in list(doctree.findall(Generated)):
        which = {"paper": node["paper"]} if "paper" in node else {}
        node.replace_self(fillers[node["kind"]](app, docname, **which))
