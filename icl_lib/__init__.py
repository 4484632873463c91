"""The helper library of *In-Context Learning as Optimization*: what is where.

Four floors; a module imports only from floors below its own.

    experiments   named  catalogue  run  store      what is run, apart from where it is kept
    exercises     part1  part2  part3               what is asked
    models        single_layer  deep_linear  transformer  sequence  constructions  compressed
                  learned_inverse  raw  inspection  distillation  prompting
    tasks         regression  inputs  shifts  dynamics  tokens  few_shot   what goes in (torch)
    layers        linear  softmax  mesa  recursive_mesa             what computes (torch)
    theory        optimum  shifts  random_covariance  gradient_flow  landscape  solvers
                  sequences  linear_systems  few_shot               (NumPy)
    training      one plain loop
    analysis      evaluation  probing               what a finished model is asked
    teaching      plotting  scrubber  doctor        what a course needs around the science
    contest  statistics  claims  published          tools that know nothing of the others

Import the module you need, for example ``from icl_lib.theory import optimum``.
"""

__version__ = "0.1.0"
