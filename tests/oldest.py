"""The oldest versions that pyproject.toml allows, as requirements for ``make oldest``.

Those of the library are pinned at their lower bounds; what only its tests and sweeps need is left
to the resolver.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def requirements(text: str) -> list[str]:
    """The lines of a requirements file, from the text of a pyproject.toml.

    >>> requirements('[project]\\ndependencies = ["numpy>=2.2"]\\n'
    ...              '[project.optional-dependencies]\\ntest = ["pytest>=8"]\\nscale = []')
    ['numpy==2.2', 'pytest>=8']
    """
    project = tomllib.loads(text)["project"]
    extras = project["optional-dependencies"]
    pinned = [each.replace(">=", "==") for each in project["dependencies"]]
    return [*pinned, *extras["test"], *extras["scale"]]


if __name__ == "__main__":
    print("\n".join(requirements(PROJECT.read_text(encoding="utf8"))))
