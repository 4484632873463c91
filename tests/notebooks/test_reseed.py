"""`tests/reseed.py`: what it reads from executed chapters, and how it judges it."""

from __future__ import annotations

import importlib.util
import json
import math
import shutil
from pathlib import Path

import nbformat
import pytest

from icl_lib.claims import claim, run_report

SCRIPT = Path(__file__).resolve().parents[1] / "reseed.py"
_spec = importlib.util.spec_from_file_location("reseed", SCRIPT)
reseed = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reseed)

COMMON = {"statement": "s", "source": "t", "verdict": "reproduced", "holds": True, "tolerance": 0}
SPECS = {
    "theory": {**COMMON, "kind": "estimate", "expected": 2.0, "mode": "z", "tolerance": 4},
    "bound": {**COMMON, "kind": "bound", "expected": 0.5, "mode": "at_most"},
    "negative": {**COMMON, "kind": "bound", "expected": 0.5, "mode": "at_most", "holds": False},
    "record": {"kind": "record", "statement": "s", "source": "t", "band": [1.0, 2.0]},
}
SPECS["theory"]["max_se"] = 0.01
SPECS["negative"] |= {"recorded": 0.7, "recorded_tolerance": 0.1}


def entry(name, measured, se=None, null=None, expected=None):
    return {"id": name, "measured": measured, "se": se, "null": null, "expected": expected}


def result(*claims, offset=1, chapter="03_closed_form", error=None):
    return {"offset": offset, "chapter": chapter, "error": error, "claims": list(claims)}


@pytest.fixture
def specs(monkeypatch):
    monkeypatch.setattr(reseed, "specification", lambda name: (SPECS[name], False))


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr(reseed, "FOLDER", tmp_path / "reseed")
    return tmp_path / "reseed"


def write_notebook(path: Path, *sources: str) -> Path:
    cells = [nbformat.v4.new_code_cell(source, id=f"c{i}") for i, source in enumerate(sources)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


class TestArguments:
    @pytest.mark.parametrize(
        ("text", "numbers"), [("3", [3]), ("1-5", [1, 2, 3, 4, 5]), ("0,3-4", [0, 3, 4])]
    )
    def test_offsets(self, text, numbers):
        assert reseed.numbers_in(text) == numbers

    @pytest.mark.parametrize("text", ["5-1", "", "a"])
    def test_bad_offsets(self, text):
        with pytest.raises(ValueError):
            reseed.numbers_in(text)

    def test_chapters(self):
        assert len(reseed.chapters()) == 16
        assert [path.stem for path in reseed.chapters({"03", "16"})] == [
            "03_closed_form",
            "16_few_shot",
        ]
        with pytest.raises(ValueError, match=r"got \['17'\]"):
            reseed.chapters({"17", "03"})

    def test_kernels_get_the_offset_and_no_strict_claims(self, monkeypatch):
        monkeypatch.setenv("ICL_CLAIMS", "strict")
        monkeypatch.setenv("OMP_NUM_THREADS", "8")
        kernel = reseed.environment(7)
        assert kernel["ICL_SEED_OFFSET"] == "7" and kernel["OMP_NUM_THREADS"] == "1"
        assert "ICL_CLAIMS" not in kernel
        assert kernel["PYTHONPATH"].startswith(str(reseed.ROOT))


class TestReading:
    def test_what_a_cell_of_today_reports(self):
        line = claim("closed-form-minimum-loss", 0.7941, se=7e-4, null=0.7998)
        outputs = [
            nbformat.v4.new_output("execute_result", data=shown._repr_mimebundle_())
            for shown in (line, run_report("03"))
        ]
        cells = [nbformat.v4.new_code_cell("x", outputs=outputs), nbformat.v4.new_markdown_cell("")]
        found = reseed.measurements(nbformat.v4.new_notebook(cells=cells))
        assert found == [entry("closed-form-minimum-loss", 0.7941, se=7e-4, null=0.7998)]

    def test_a_chapter_is_executed_in_its_folder(self, folder, tmp_path, monkeypatch):
        monkeypatch.setenv("ICL_SEED_OFFSET", "2")
        chapter = write_notebook(
            tmp_path / "03_x.ipynb",
            "import os\nprint(os.getcwd(), os.environ['ICL_SEED_OFFSET'])",
            "from IPython.display import display\n"
            "payload = {'id': 'bound', 'measured': 0.4}\n"
            "display({'application/vnd.icl.claim+json': payload}, raw=True)",
            "raise KeyError('the end')",
            "print('never')",
        )
        done = reseed.execute(chapter, 2)
        assert done == json.loads((folder / "2" / "03_x.json").read_text())
        assert done["claims"] == [entry("bound", 0.4)]
        assert done["printed"] == {"c0": f"{tmp_path} 2\n"}
        assert "the end" in done["error"]
        assert [path.name for path in folder.rglob("*.json*")] == ["03_x.json"], "nothing partial"

    def test_results_count_while_their_inputs_last(self, folder, tmp_path):
        chapter = write_notebook(tmp_path / "03_x.ipynb", "1")
        target = reseed.result_file(chapter, 1)
        target.parent.mkdir(parents=True)
        good = {"inputs": reseed.digest(chapter, 1), "error": None, "claims": []}
        assert reseed.stored(chapter, 1) is None
        for content in (json.dumps(good | {"error": "stopped"}), json.dumps(good)[:9], "{}", "[]"):
            target.write_text(content)
            assert reseed.stored(chapter, 1) is None
        target.write_text(json.dumps(good))
        assert reseed.stored(chapter, 1) == good
        assert reseed.digest(chapter, 2) != good["inputs"]
        write_notebook(chapter, "2")
        assert reseed.stored(chapter, 1) is None


class TestJudgement:
    @pytest.mark.parametrize(
        "good",
        [
            entry("theory", 2.03, se=0.01),
            entry("bound", 0.5),
            entry("bound", 0.4, se=0.01),
            entry("negative", 0.65),
            entry("record", 1.5),
            entry("theory", 2.0, se=0.01, expected=2.00001),
        ],
    )
    def test_as_recorded(self, good, specs):
        assert reseed.judge(good) == ""

    @pytest.mark.parametrize(
        "bad",
        [
            entry("theory", 2.05, se=0.01),  # five standard errors
            entry("theory", 2.0, se=0.03),  # too unsure
            entry("theory", 2.0, se=0.0),
            entry("theory", 2.0),
            entry("theory", 2.0, se=0.01, expected=2.1),  # the cell computes something else
            entry("bound", 0.51),
            entry("bound", math.nan),
            entry("negative", 0.45),  # the bound that the book says is missed
            entry("negative", 0.9),  # not what is on record
            entry("record", 2.1),
        ],
    )
    def test_flips(self, bad, specs):
        assert bad["id"] in reseed.judge(bad)

    def test_list(self, specs):
        results = [
            result(entry("bound", 0.7), entry("record", 1.5), offset=3),
            result(entry("bound", 0.4), entry("record", 0.5), offset=2),
        ]
        found = [(flip.name, flip.offset) for flip in reseed.flips(results)]
        assert found == [("bound", 3), ("record", 2)]
        assert "our bound: at most 0.5" in reseed.flips(results)[0].reason

    def test_claims_that_were_not_measured(self):
        results = [
            result(entry("bound", 0.4), offset=0),
            result(entry("bound", 0.4), entry("record", 1), offset=1),
            result(entry("theory", 2), offset=1, chapter="04_gradient_flow"),
        ]
        assert reseed.missing(results) == ["record at offset 0"]

    def test_table(self):
        results = [result(entry("bound", 2.0**k), offset=k) for k in range(4)]
        line = reseed.table(results)[1].split()
        # offsets 1, 2, 3 measured 2, 4, 8; the base value is apart
        assert line == ["bound", "1", "4.6667", "3.06", "2", "8"]
        assert reseed.table(results[:1])[1].split() == ["bound", "1"]
        assert reseed.table(results[1:2])[1].split() == ["bound", "-", "2", "nan", "2", "2"]

    @pytest.mark.parametrize(
        ("results", "bad"),
        [
            ([result(entry("bound", 0.4))], False),
            ([result(entry("bound", 0.6))], True),
            ([result(entry("bound", 0.4), error="boom")], True),
            ([result(entry("bound", 0.4)), result(offset=2)], True),
        ],
    )
    def test_summary(self, results, bad, specs):
        assert reseed.summary(results)[1] is bad


class TestCommand:
    @pytest.fixture
    def runs(self, specs, folder, monkeypatch):
        """Chapter 3 measures its offset / 10 (the bound is 0.5) and Chapter 4 stops."""

        def run_apart(chapter, offset):
            stops = chapter.name.startswith("04")
            claims = [] if stops else [entry("bound", offset / 10)]
            return result(
                *claims, offset=offset, chapter=chapter.stem, error="boom" if stops else None
            )

        monkeypatch.setattr(reseed, "run_apart", run_apart)

    @pytest.mark.parametrize(
        ("arguments", "status"),
        [
            (["--offsets", "1-5", "--chapters", "03"], 0),
            (["--offsets", "1-6", "--chapters", "03"], 1),
            (["--offsets", "1-6", "--chapters", "03", "--report"], 0),
            (["--offsets", "1", "--chapters", "03,04"], 1),
        ],
    )
    def test_exit_status(self, arguments, status, runs):
        assert reseed.main([*arguments, "--jobs", "2"]) == status

    def test_one_chapter_that_stops_does_not_stop_the_others(self, runs, capsys):
        reseed.main(["--offsets", "6", "--chapters", "03,04", "--jobs", "1"])
        text = capsys.readouterr().out
        assert "boom" in text and "stopped: 04_gradient_flow at offset 6" in text
        assert "flips at offset 6: claim bound" in text

    def test_a_process_that_dies_is_reported(self, folder, tmp_path, monkeypatch):
        chapter = write_notebook(tmp_path / "03_x.ipynb", "1")
        monkeypatch.setattr(reseed.sys, "executable", shutil.which("false"))
        done = reseed.run_apart(chapter, 1)
        assert done["error"] == "exit status 1" and done["claims"] == []
