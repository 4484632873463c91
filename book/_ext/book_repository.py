"""Write the project's address where it is needed.

``book_repository.py https://github.com/OWNER/NAME`` writes it into ``_config.yml`` (launch buttons,
repository links) and into the ``REPOSITORY = ""`` line of each notebook's first, hidden cell, which
fetches the project on Colab. An empty address removes it again.
"""

import re
import sys
from pathlib import Path

from book_assets import URL

ROOT = Path(__file__).resolve().parents[2]


def replace(path, pattern, text):
    """Put ``text`` in place of the pattern's second group, leave every other byte as it is."""
    old = path.read_bytes().decode("utf8")
    new, count = re.subn(pattern, lambda m: m.group(1) + text + m.group(3), old, flags=re.MULTILINE)
    if new != old:
        path.write_bytes(new.encode("utf8"))
    return count


def main(url):
    url = url.strip().rstrip("/").removesuffix(".git")
    if url and not URL.fullmatch(url):
        return f"URL must be https://HOST/OWNER/NAME, got {url!r}: make repository URL=https://..."
    if replace(ROOT / "_config.yml", r'^(repository:\n  url: ")([^"]*)(")', url) != 1:
        return '_config.yml must hold the two lines `repository:` and `  url: "..."`'
    count = 0
    for path in sorted((ROOT / "book").rglob("*.ipynb")):
        if ".ipynb_checkpoints" not in path.parts:
            count += replace(path, r'(REPOSITORY = \\")([^"\\]*)(\\")', url)
    print(f"_config.yml and {count} notebooks now say {url or 'no address'!r}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) == 2 else "-"))
