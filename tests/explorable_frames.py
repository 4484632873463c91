"""``python tests/explorable_frames.py`` writes the first picture of every explorable.

The pages show it where no JavaScript runs. `tests/site/test_explorables.py` checks that the file is
what the script draws.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
FRAMES = ROOT / "book" / "explorables"
STAGE = "figure => figure.querySelector('.icl-explorable-stage').innerHTML"


def names() -> list[str]:
    scripts = (ROOT / "book" / "_static" / "explorables").glob("*.js")
    return sorted(path.stem for path in scripts if path.stem != "shared")


def frame(page, name: str) -> str:
    """What the script has put into the stage of the figure, a tag a line."""
    drawn = page.locator(f"#explore-{name}").evaluate(STAGE)
    return drawn.replace("><", ">\n<") + "\n"


def main() -> None:
    from playwright.sync_api import sync_playwright

    from icl_lib.teaching.doctor import find_browser
    from tests import widget_site

    for name in names():
        path = FRAMES / f"{name}.html"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        site = widget_site.build_all(Path(folder))
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        page = browser.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((site / "explorables.html").as_uri())
        if errors:
            raise SystemExit(f"a script failed: {errors}")
        for name in names():
            (FRAMES / f"{name}.html").write_text(frame(page, name), encoding="utf8")
        browser.close()


if __name__ == "__main__":
    main()
