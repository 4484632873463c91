"""The helper library of *In-Context Learning as Optimization*: what is where.

Four floors; a module imports only from floors below its own.

    experiments   named  catalogue  run  store  sweeps     what is run, apart from where it is kept
    exercises     part1  part2  part3                      what is asked
    models        single_layer  deep_linear  transformer  config  blocks  constructions
                  compressed  learned_inverse  inspection  distillation  prompting
    tasks         regression  inputs  shifts  dynamics  tokens  few_shot   what goes in (torch)
    layers        linear  softmax  attention  mesa  recursive_mesa         what computes (torch)
    theory        optimum  shifts  random_covariance  gradient_flow  landscape  solvers
                  sequences  linear_systems  few_shot                      (NumPy)
    training      one plain loop
    analysis      evaluation  probing                      what a finished model is asked
    teaching      plotting  scrubber  doctor               what a course needs around the science
    contest  statistics  claims  published                 tools that know nothing of the others

Import the module you need, ``from icl_lib.theory import optimum``, or one of the names that
researchers look for first, which are loaded when they are asked for: ``icl_lib.Transformer``.
"""

from importlib import import_module

__version__ = "0.1.0"

# where each name is defined; the chapters import from there, so that a reader sees the room
FIRST = {
    "GaussianInputs": "icl_lib.tasks.inputs",
    "LinearDynamics": "icl_lib.tasks.dynamics",
    "LinearRegression": "icl_lib.tasks.regression",
    "QueryLSA": "icl_lib.models.single_layer",
    "TrainConfig": "icl_lib.training",
    "Transformer": "icl_lib.models.transformer",
    "TransformerConfig": "icl_lib.models.config",
    "fit_probe": "icl_lib.analysis.probing",
    "linear_attention": "icl_lib.layers.linear",
    "mesa_attention": "icl_lib.layers.mesa",
    "optimal_preconditioner": "icl_lib.theory.optimum",
    "risk": "icl_lib.theory.optimum",
    "softmax_attention": "icl_lib.layers.softmax",
    "train": "icl_lib.training",
}
__all__ = sorted(FIRST)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str):
    if name not in FIRST:
        raise AttributeError(f"module 'icl_lib' has no attribute {name!r}; it has {__all__}")
    return getattr(import_module(FIRST[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *FIRST]
