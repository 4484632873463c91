"""Reproduction: verdicts, the committed report, what is trained first, and the page's table."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
from tiny_experiments import NAME, temporary_workplace  # noqa: F401 - fixture

from icl_lib.experiments import checkpoint, named, storage
from icl_lib.experiments.__main__ import main
from icl_lib.experiments.run import Run
from icl_lib.experiments.sweeps import reproduce as module
from icl_lib.experiments.sweeps.report import add_row, read_report, verdict
from icl_lib.experiments.sweeps.store import Store
from icl_lib.experiments.sweeps.tasks import perform
from icl_lib.training import TrainingError

ROOT = Path(__file__).resolve().parents[2]
FAMILY = "tiny-fixed-n3"
ROW = {
    "date": "2026-01-01",
    "commit": "abc",
    "device": "cpu",
    "torch": "2",
    "recorded": 0.5,
    "reproduced": 0.5,
    "verdict": "bit-equal",
    "seconds": 3.0,
}


class Here:
    """A back end that does the tasks in this process, and remembers them."""

    workers, words = 1, "this process"

    def __init__(self):
        self.asked = []

    def outcomes(self, tasks):
        for task in tasks:
            self.asked.append(task.name)
            yield perform(task)

    def close(self):
        """Nothing is to be let go."""


@pytest.fixture(name="book")
def three_committed_runs(workplace, monkeypatch):
    """Three seeds with checkpoints and records; reproductions run in this process."""
    for seed in range(3):
        named.train(f"{FAMILY}-s{seed}", progress=False)
    backend = Here()
    monkeypatch.setattr(module, "open_backend", lambda workers, scheduler: backend)
    backend.report = workplace / "reproduced.json"
    backend.folder = workplace / "reproduced"
    return backend


def command(book, *more):
    places = ["--folder", str(book.folder), "--report", str(book.report)]
    return main(["reproduce", FAMILY, *places, *more])


class TestVerdict:
    @pytest.mark.parametrize(
        ("recorded", "reproduced", "same", "band", "expected"),
        [
            (0.5, 0.5, True, None, "bit-equal"),
            (0.5, 0.6, False, (0.4, 0.6), "inside the seed band"),
            (0.5, 0.61, False, (0.4, 0.6), "outside the seed band"),
            (0.5, 0.39, False, (0.4, 0.6), "outside the seed band"),
            (0.5, 0.5, False, None, "other bits, no seed band"),
            (None, None, False, (0.4, 0.6), "fails, as recorded"),
            (0.5, None, False, (0.4, 0.6), "fails"),
            (None, 0.5, False, (0.4, 0.6), "other bits, no seed band"),
        ],
    )
    def test_all(self, recorded, reproduced, same, band, expected):
        assert verdict(recorded, reproduced, same, lambda: band) == expected


class TestReproduce:
    def test_bit_equal(self, book):
        assert command(book) == 0
        rows = read_report(book.report)
        assert list(rows) == [f"{FAMILY}-s{seed}" for seed in range(3)]
        for name, row in rows.items():
            entry = storage.record()[name]
            assert row["verdict"] == "bit-equal"
            assert row["recorded"] == row["reproduced"] == entry["normalised_error"]

    def test_the_committed_files_stay_as_they_are(self, book):
        before = {path: path.read_bytes() for path in checkpoint.folder().glob("*")}
        command(book)
        assert before == {path: path.read_bytes() for path in checkpoint.folder().glob("*")}

    def test_what_is_in_the_report_is_not_repeated(self, book):
        add_row(book.report, NAME, ROW)
        command(book)
        assert book.asked == [f"{FAMILY}-s1", f"{FAMILY}-s2"]
        assert read_report(book.report)[NAME] == ROW
        assert command(book) == 0 and len(book.asked) == 2
        command(book, "--again")
        assert len(book.asked) == 5 and read_report(book.report)[NAME] != ROW

    def test_other_bits_inside_the_band(self, book, monkeypatch):
        original = Run.loss_at

        def loss_at(self, model, step):  # AdamW does not see a constant factor
            return original(self, model, step) * (1 + 1e-3 * step)

        monkeypatch.setattr(Run, "loss_at", loss_at)
        assert command(book) == 0
        row = read_report(book.report)[NAME]
        low, high = named.seed_band(FAMILY)
        assert row["verdict"] == "inside the seed band" and low < row["reproduced"] < high
        assert row["reproduced"] != row["recorded"]

    def test_outside(self, book, monkeypatch):
        monkeypatch.setattr(Run, "evaluate", lambda *_: {"normalised_error": 50.0})
        monkeypatch.setattr(module.runs, "book_weights", lambda name: None)
        assert command(book) == 1
        assert read_report(book.report)[NAME]["verdict"] == "outside the seed band"

    def test_a_run_that_fails_as_recorded(self, book, monkeypatch):
        def diverge(*_):
            raise TrainingError("the loss is nan")

        monkeypatch.setattr(Run, "loss_at", diverge)
        storage.add_entry(NAME, {"status": "failed", "reason": "nan"})
        assert command(book) == 1
        rows = read_report(book.report)
        assert rows[NAME]["verdict"] == "fails, as recorded"
        assert rows[f"{FAMILY}-s1"]["verdict"] == "fails"

    def test_a_full_disk_is_no_result(self, book, monkeypatch):
        def full(*_):
            raise OSError("No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(Run, "loss_at", full)
            assert command(book) == 1
        assert not book.report.exists()
        assert command(book) == 0 and len(read_report(book.report)) == 3

    def test_an_unknown_family(self, book, capsys):
        assert main(["reproduce", "no-such", "--report", str(book.report)]) == 2
        assert "family must be one of" in capsys.readouterr().err


class TestOrder:
    def floors(self, families, rows, tmp_path):
        store = Store(str(tmp_path))
        floors = module._floors(families, rows, store, tmp_path)
        return [[task.name for task in floor] for floor in floors], floors

    def test_what_a_run_is_trained_on_comes_first(self, tmp_path):
        names, floors = self.floors(["prefix-hybrid"], {}, tmp_path)
        assert names == [["long-hybrid-s0"], ["eos-hybrid-s0"], ["prefix-hybrid-s0"]]
        assert floors[2][0].bases == {
            "long-hybrid-s0": str(tmp_path),
            "eos-hybrid-s0": str(tmp_path),
        }

    def test_a_base_that_was_bit_equal_need_not_be_trained(self, tmp_path):
        names, floors = self.floors(["eos-hybrid"], {"long-hybrid-s0": ROW}, tmp_path)
        assert names == [["eos-hybrid-s0"]]
        assert floors[0][0].bases == {"long-hybrid-s0": str(checkpoint.folder())}

    def test_one_with_other_bits_must(self, tmp_path):
        rows = {"long-hybrid-s0": ROW | {"verdict": "inside the seed band"}}
        assert self.floors(["eos-hybrid"], rows, tmp_path)[0][0] == ["long-hybrid-s0"]

    def test_the_whole_book(self, tmp_path):
        names, _ = self.floors([], {}, tmp_path)
        assert {name for floor in names for name in floor} == set(named.EXPERIMENTS)


class TestReport:
    def test_rows_of_others_stay(self, tmp_path):
        path = tmp_path / "report.json"
        add_row(path, "b-s0", ROW)
        add_row(path, "a-s0", ROW)
        assert list(read_report(path)) == ["a-s0", "b-s0"]

    @pytest.mark.parametrize(
        ("text", "message"),
        [("{", "damaged"), ("[]", "JSON object"), ('{"a": {"date": 1}}', r"columns .* \['a'\]")],
    )
    def test_damaged(self, tmp_path, text, message):
        path = tmp_path / "report.json"
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_report(path)

    def test_the_committed_one(self):
        rows = read_report(ROOT / "book" / "reference" / "reproduced.json")
        record = json.loads((ROOT / "checkpoints" / "record.json").read_text())
        for name, row in rows.items():
            metric = module.runs.book_run(name).metric
            assert row["recorded"] == record[name].get(metric), name


class TestPage:
    @pytest.fixture(name="page")
    def extension(self, monkeypatch):
        monkeypatch.syspath_prepend(str(ROOT / "book" / "_ext"))
        return importlib.import_module("book_reproduced")

    @pytest.fixture(name="root")
    def a_small_book(self, tmp_path):
        (tmp_path / "checkpoints").mkdir()
        entries = {"a-s0": {"status": "completed"}, "b-s0": {"status": "completed"}}
        (tmp_path / "checkpoints" / "record.json").write_text(json.dumps(entries))
        add_row(tmp_path / "book" / "reference" / "reproduced.json", "b-s0", ROW)
        return tmp_path

    def test_rows_that_are_not_there_read_not_yet(self, page, root):
        rows = page.known_rows(root)
        assert rows == {"a-s0": None, "b-s0": ROW}
        assert page.cells("a-s0", None)[1] == "not yet"
        assert page.cells("b-s0", ROW)[1:5] == ["bit-equal", "0.5", "0.5", "2026-01-01"]
        assert page.counted(rows) == "2 runs: 1 not yet, 1 bit-equal."

    def test_every_row_has_every_column(self, page, root):
        for name, row in page.known_rows(root).items():
            assert len(page.cells(name, row)) == len(page.HEADS)

    def test_cost(self, page):
        assert [page.cost(each) for each in (None, 3.2, 250)] == ["\u2013", "3 s", "4 min"]
