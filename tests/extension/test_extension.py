"""The extension's handling of the project's address, without a second build of the book."""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "https://github.com/owner/name"
BUTTONS = ("use_repository_button", "use_issues_button", "use_edit_page_button")


@pytest.fixture
def extension(monkeypatch):
    """``extension("book_assets")``: a module of book/_ext."""
    monkeypatch.syspath_prepend(str(ROOT / "book" / "_ext"))
    monkeypatch.delenv("ICL_REPOSITORY", raising=False)
    return importlib.import_module


def settings(url: str) -> SimpleNamespace:
    options = {"repository_url": url, "launch_buttons": {"colab_url": "https://colab.example"}}
    return SimpleNamespace(html_theme_options=options)


def test_without_an_address_there_are_no_buttons(extension):
    config = settings("")
    extension("book_assets").configure_repository(None, config)
    assert "launch_buttons" not in config.html_theme_options
    assert not any(config.html_theme_options[button] for button in BUTTONS)


def test_an_address_switches_every_button_on(extension):
    config = settings(ADDRESS + "/")
    extension("book_assets").configure_repository(None, config)
    assert "launch_buttons" in config.html_theme_options
    assert all(config.html_theme_options[button] for button in BUTTONS)
    assert config.html_theme_options["repository_url"] == ADDRESS


def test_the_environment_names_the_address_in_ci(extension, monkeypatch):
    config = settings("")
    monkeypatch.setenv("ICL_REPOSITORY", ADDRESS)
    extension("book_assets").configure_repository(None, config)
    assert "launch_buttons" in config.html_theme_options
    assert config.html_theme_options["repository_url"] == ADDRESS


def test_a_wrong_address_is_refused(extension):
    with pytest.raises(Exception, match="must be https://HOST/OWNER/NAME, got 'owner/name'"):
        extension("book_assets").configure_repository(None, settings("owner/name"))


def test_make_repository_reaches_every_notebook(extension, monkeypatch, tmp_path, capsys):
    """The address goes into the configuration and each first cell, and out again."""
    shutil.copy(ROOT / "_config.yml", tmp_path)
    sources = [p for p in (ROOT / "book").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts]
    for path in sources:
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    copies = [tmp_path / "_config.yml", *(tmp_path / path.relative_to(ROOT) for path in sources)]
    before = [path.read_bytes() for path in copies]
    module = extension("book_repository")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    assert module.main(ADDRESS) == 0
    assert f"{len(sources)} notebooks" in capsys.readouterr().out
    assert all(ADDRESS.encode() in path.read_bytes() for path in copies)
    assert module.main("") == 0
    assert [path.read_bytes() for path in copies] == before
    assert module.main("nonsense"), "a wrong address is named, not written"


def test_the_modules_are_the_ones_of_this_project(extension):
    assert Path(extension("book_assets").__file__).parent == ROOT / "book" / "_ext"
    assert "book_assets" in sys.modules
