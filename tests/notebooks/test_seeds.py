"""Chapters draw through `icl_lib.tasks.randomness` alone, so that all draws can be repeated.

A bare seed, or a draw from the global generator, would stay the same under ``ICL_SEED_OFFSET`` or
differ from run to run; either would hide whether a claim holds for other draws.
"""

from __future__ import annotations

import ast
import inspect
import re

import pytest

from icl_lib.models.distillation import LinearTwins
from icl_lib.models.prompting import Prompt
from icl_lib.models.transformer import Transformer

MAGIC = re.compile(r"^(\s*)[%!].*$", re.MULTILINE)
SEEDING = {"default_rng", "manual_seed", "SeedSequence", "RandomState", "set_rng_state"}
TORCH_DRAWS = {"rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial"}
IN_PLACE = {"normal_", "uniform_", "bernoulli_", "exponential_", "random_", "log_normal_"}
# these draw, but take no generator
GLOBAL_DRAWS = {"rand_like", "randn_like", "randint_like", "dropout"}
MODELS = {c.__name__: c for c in (LinearTwins, Prompt, Transformer)}


def bare_seeds(source: str) -> list[str]:
    """Return the parts of a code cell that seed or draw past the library's generators."""
    tree = ast.parse(MAGIC.sub(r"\1pass", source))
    found = [node for node in ast.walk(tree) if _is_bare(node)]
    return [ast.unparse(node) for node in sorted(found, key=lambda node: node.lineno)]


def _is_bare(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        return any(_module(alias.name) for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        names = {alias.name for alias in node.names}
        drawn = node.module == "torch" and names & (TORCH_DRAWS | {"Generator"})
        hidden = node.module == "numpy" and "random" in names
        return _module(node.module or "") or bool(drawn or hidden or names & SEEDING)
    if isinstance(node, ast.Attribute | ast.Name):
        return _last(node) in SEEDING or ast.unparse(node) in {
            "np.random",
            "numpy.random",
            "random.seed",
            "torch.Generator",
            "torch.seed",
        }
    return isinstance(node, ast.Call) and _is_bare_call(node)


def _module(name: str) -> bool:
    return name == "random" or name.startswith("numpy.random")


def _is_bare_call(call: ast.Call) -> bool:
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    name, full = _last(call.func), ast.unparse(call.func)
    if isinstance(keywords.get("random_state"), ast.Constant):
        return True
    if "generator" in keywords:
        return False
    if name == "rvs":
        return "random_state" not in keywords
    if name in MODELS:
        place = list(inspect.signature(MODELS[name]).parameters).index("generator")
        return len(call.args) <= place
    drawn = full.startswith("torch.") and name in TORCH_DRAWS
    return drawn or name in IN_PLACE | GLOBAL_DRAWS or "nn.init." in full


def _last(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def test_every_draw_goes_through_the_library(notebook):
    found = {cell.id: bare for cell in notebook.code if (bare := bare_seeds(cell.source))}
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "rng = np.random.default_rng(0)",
        "x = np.random.randn(3)",
        "from numpy.random import default_rng",
        "from numpy import random",
        "import random",
        "import numpy.random as npr",
        "torch.manual_seed(0)",
        "g = torch.Generator()",
        "g = torch.Generator().manual_seed(seed)",
        "from torch import Generator",
        "def f():\n    return torch.randn(3, dtype=torch.float64)",
        "order = torch.randperm(5)",
        "noise = torch.randn_like(x)",
        "weight.normal_(0, 0.1)",
        "torch.nn.init.xavier_uniform_(weight)",
        "stats.ortho_group.rvs(3)",
        "stats.ortho_group.rvs(3, random_state=1)",
        "Ridge(random_state=0)",
        "words = SeedSequence([1, 2])",
        "model = LinearTwins(original, 0.02)",
        "model = Transformer(config)",
        "if colab:\n    !pip install x\n    %cd y\nrng = np.random.default_rng(0)",
    ],
)
def test_bare_seeds_are_found(source):
    assert bare_seeds(source)


@pytest.mark.parametrize(
    "source",
    [
        "rng = numpy_generator(0)\nrng.standard_normal(3)",
        "x = torch.randn(3, generator=torch_generator(0))",
        "weight.normal_(0, 0.1, generator=source)",
        "stats.ortho_group.rvs(3, random_state=numpy_generator(1))",
        "model = Transformer(config, torch_generator(0))",
        "model = Prompt(10, generator=torch_generator(3))",
        "a = rng.normal(size=3)\nrandom = {1: 2}\nrandom[1]",
        "%timeit f()\n!ls\nx = 5 % 3",
    ],
)
def test_the_library_s_generators_are_not(source):
    assert bare_seeds(source) == []
