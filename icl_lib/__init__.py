"""The helper library of *In-Context Learning as Optimization*: what is where.

Four floors; a module imports only from floors below its own.

    experiments   exercises                       what is run, what is asked
    models        single_layer  deep_linear  transformer  sequence  constructions  compressed
                  learned_inverse  raw  inspection  distillation  prompting
    tasks         regression  inputs  shifts  dynamics  tokens  few_shot   what goes in (torch)
    layers        linear  softmax  mesa  recursive_mesa             what computes (torch)
    theory        optimum  shifts  random_covariance  gradient_flow  landscape  solvers
                  sequences  linear_systems  few_shot               (NumPy)
    training      one plain loop
    probing  contest  statistics  claims  plotting  scrubber  doctor   tools that know nothing of
                  the others

Import the module you need, for example ``from icl_lib.theory import optimum``.
"""

__version__ = "0.1.0"
