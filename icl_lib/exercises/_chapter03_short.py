"""Short exercises in the text of Chapter 3."""

from __future__ import annotations

import numpy as np

from icl_lib.exercises import _draws
from icl_lib.exercises._comparison import Case, Comparison, Mistake
from icl_lib.theory import optimum


def _one_dim_case(rng: np.random.Generator, number: int) -> Case:
    n = 1 if number == 1 else _draws.length(rng)
    return {"variance": float(rng.uniform(0.2, 4.0)), "n_train": n}


ONE_DIM = Comparison(
    returns="one number, the best a",
    solution=lambda lam, n: optimum.optimal_preconditioner([[lam]], n)[0, 0],
    draw=_one_dim_case,
    mistakes=(
        Mistake(
            lambda lam, n: n / (n + 2),
            "this is the answer for variance 1; b-hat grows with the variance of the inputs.",
        ),
        Mistake(
            lambda lam, n: 1 / lam,
            "this is right for infinitely long prompts only; a finite prompt asks for shrinking.",
        ),
        Mistake(
            lambda lam, n: lam * n / (n + 2),
            "for inputs of larger variance a must be smaller: b-hat is already larger.",
        ),
        Mistake(
            lambda lam, n: n / (n + 2) / lam**0.5,
            "a divides by the standard deviation; b-hat = lambda-hat w grows with the variance.",
        ),
        Mistake(
            lambda lam, n: n / (n + 2) / lam**2,
            "a divides by the variance twice: compare E lambda-hat with E lambda-hat^2.",
        ),
        Mistake(
            lambda lam, n: 1 / (lam + 2 / n),
            "lambda-hat has mean lambda and variance 2 lambda^2/N; "
            "your second term is that of variance 1.",
        ),
        Mistake(
            lambda lam, n: n / (n + 1) / lam,
            "the variance of a squared normal is 2, not 1 (its fourth moment is 3).",
        ),
        Mistake(
            lambda lam, n: n / (n + 3) / lam,
            "3 is the fourth moment of a normal; its square has the variance 3 - 1 = 2.",
        ),
        Mistake(
            lambda lam, n: (1 + 2 / n) * lam,
            "this is Gamma; a is its inverse.",
        ),
        Mistake(
            lambda lam, n: (1 + 2 / n) / lam,
            "a is larger than 1/lambda; a finite prompt asks for shrinking.",
        ),
        Mistake(
            lambda lam, n: 1 - n / (n + 2),
            "this is the error that is left for variance 1; return the a that attains it.",
        ),
    ),
)


def _kurtosis_case(rng: np.random.Generator, number: int) -> Case:
    kurtosis = (1.0, 3.0)[number - 1] if number < 3 else float(rng.uniform(1.2, 8.0))
    return {"d": _draws.dimension(rng, 2, 9), "n_train": _draws.length(rng), "kurtosis": kurtosis}


KURTOSIS = Comparison(
    returns="one number, the best a",
    solution=lambda d, n, k: 1 / ((n - 1) / n + (k + d - 1) / n),
    draw=_kurtosis_case,
    mistakes=(
        Mistake(
            lambda d, n, k: n / (n + d + 1),
            "this is the answer for Gaussian inputs; it must depend on the fourth moment.",
        ),
        Mistake(
            lambda d, n, k: n / (n + d - 1),
            "this is the answer for signs, whose fourth moment is 1.",
        ),
        Mistake(
            lambda d, n, k: n / (n + d + k - 1),
            "the terms with i different from j number N(N-1), not N^2.",
        ),
        Mistake(
            lambda d, n, k: n / (n + d + k + 1),
            "kurtosis is the plain fourth moment, 3 for a Gaussian; you take it as the excess.",
        ),
        Mistake(
            lambda d, n, k: n / (n - 1 + k * d),
            "in E[x_i^2 |x|^2] only one of the d terms is a fourth moment; the others are 1.",
        ),
        Mistake(
            lambda d, n, k: n / (n - 1 + k),
            "|x|^2 is a sum over d coordinates; your result does not depend on d.",
        ),
        Mistake(
            lambda d, n, k: n / (n - 1 + d * (d + k - 1)),
            "this takes the trace of E[x x' x x']; only its diagonal entry is needed.",
        ),
        Mistake(
            lambda d, n, k: (n + d + k - 2) / n,
            "this is the diagonal of E[Lambda-hat^2]; a is its inverse.",
        ),
        Mistake(
            lambda d, n, k: n / (n + k - d),
            "the d - 1 other coordinates make the denominator larger, not smaller.",
        ),
    ),
)

EXERCISES = {
    "03-one-dim": ONE_DIM,
    "03-kurtosis": KURTOSIS,
}
