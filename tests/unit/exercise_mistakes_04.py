"""Right and wrong answers to the exercises of Chapter 4, written as students write them.

name -> (right answers, [(wrong answer, words that its hint must contain)]).
"""

from __future__ import annotations

import numpy as np
from exercise_mistakes_03 import gamma
from scipy.integrate import solve_ivp
from scipy.optimize import brentq


def loss(U, u, cov, n, *, half=0.5, linear=1.0, curve=None, signal=None):
    """By explicit sums over the indices."""
    G = gamma(cov, n) if curve is None else curve
    S = cov @ cov if signal is None else signal
    quadratic = np.einsum("ij,jk,kl,lm,im->", G, cov, U, cov, U)
    return half * u**2 * quadratic - linear * u * np.sum(S * U)


def loss_as_a_square(U, u, cov, n):
    """Half the squared distance to the minimum, minus its value at zero."""
    G = gamma(cov, n)
    gap = u * U - np.linalg.inv(G)
    square = np.trace(cov @ G @ gap @ cov @ gap.T)
    return 0.5 * square - 0.5 * np.trace(cov @ cov @ np.linalg.inv(G))


def loss_matrix(U, u, cov, n):
    return u**2 / 2 * gamma(cov, n) @ cov @ U @ cov @ U.T - u * cov @ cov @ U.T


def loss_without_transpose(U, u, cov, n):
    return np.trace(u**2 / 2 * gamma(cov, n) @ cov @ U @ cov @ U - u * cov @ cov @ U)


def loss_with_stars(U, u, cov, n):
    return np.trace(u**2 / 2 * gamma(cov, n) * cov * U * cov * U.T - u * cov * cov * U.T)


def loss_without_inner(U, u, cov, n):
    return np.trace(u**2 / 2 * gamma(cov, n) @ cov @ U @ U.T - u * cov @ cov @ U.T)


def loss_without_outer(U, u, cov, n):
    return np.trace(u**2 / 2 * gamma(cov, n) @ U @ cov @ U.T - u * cov @ cov @ U.T)


LOSS = (
    [loss, loss_as_a_square],
    [
        (loss_matrix, "matrix under the trace"),
        (lambda U, u, c, n: loss(U, u, c, n) + 0.5 * np.trace(c), "this is L itself"),
        (lambda U, u, c, n: loss(U, u, c, n, half=1), "1/2 of the quadratic term"),
        (lambda U, u, c, n: loss(U, u, c, n, linear=0.5), "quadratic term only"),
        (lambda U, u, c, n: 2 * loss(U, u, c, n), "twice the loss"),
        (lambda U, u, c, n: loss(U, u, c, n, linear=-1), "second term is subtracted"),
        (lambda U, u, c, n: -loss(U, u, c, n), "reversed"),
        (lambda U, u, c, n: loss(U, u, c, n, curve=c), "Gamma is replaced by Lambda"),
        (
            lambda U, u, c, n: loss(U, u, c, n, curve=np.linalg.inv(gamma(c, n))),
            "Gamma is inverted",
        ),
        (loss_without_inner, "between U11 and its transpose"),
        (loss_without_outer, "between Gamma and U11"),
        (lambda U, u, c, n: loss(U, u, c, n, signal=c), "Lambda squared"),
        (lambda U, u, c, n: loss(U, u, c, n, half=0.5 / u), "squared, as U11"),
        (lambda U, u, c, n: loss(U, u, c, n, half=0.5 / u**2), "missing in the quadratic"),
        (lambda U, u, c, n: loss(U, u, c, n, linear=1 / u), "missing in the linear"),
        (loss_without_transpose, "transposed; without it"),
        (lambda U, u, c, n: loss(U.T, u, c, n), "are exchanged"),
        (loss_with_stars, "entry by entry"),
    ],
)


def endpoint(a, u, n):
    """By solving u^2 - p^2/u^2 = c with a root finder."""
    p, c = n / (n + 2), u**2 - a**2
    end = brentq(lambda v: v**2 - p**2 / v**2 - c, 1e-6, 1e3, xtol=1e-14)
    return np.sign(a + u) * p / end, np.sign(a + u) * end


def endpoint_by_the_flow(a, u, n):
    """By integrating the flow itself."""
    g = 1 + 2 / n

    def slope(t, z):
        return (1 - g * z[0] * z[1]) * z[::-1]

    return tuple(solve_ivp(slope, (0, 300), [a, u], rtol=1e-11, atol=1e-13).y[:, -1])


def endpoint_for_a_product(a, u, p):
    c = u**2 - a**2
    end = np.sqrt(c / 2 + np.hypot(c / 2, p))
    sign = 1 if a + u > 0 else -1
    return sign * p / end, sign * end


ENDPOINT = (
    [endpoint, endpoint_by_the_flow],
    [
        (lambda a, u, n: (endpoint(a, u, n)[1], endpoint(a, u, n)[0]), "exchanged"),
        (lambda a, u, n: endpoint(u, a, n), "exchanged"),
        (lambda a, u, n: (np.sqrt(n / (n + 2)), np.sqrt(n / (n + 2))), "balanced start"),
        (lambda a, u, n: endpoint_for_a_product(a, u, 1 + 2 / n), "you take gamma"),
        (lambda a, u, n: endpoint_for_a_product(a, u, 1), "below 1"),
        (lambda a, u, n: endpoint_for_a_product(a, u, 1 / (1 + 1 / n)), "1 + 2/N"),
        (lambda a, u, n: tuple(np.abs(endpoint(a, u, n))), "both are negative"),
        (lambda a, u, n: (1 / (u * (1 + 2 / n)), u), "you hold u fixed"),
        (lambda a, u, n: (a, 1 / (a * (1 + 2 / n))), "you hold a fixed"),
        (
            lambda a, u, n: tuple(np.array([a, u]) * (n / (n + 2)) ** 0.5 / np.sqrt(np.abs(a * u))),
            "keep the ratio",
        ),
    ],
)


def time_to(share, d, n, sigma, *, start=None, limit=None, rate=None):
    limit = n / (np.sqrt(d) * (n + d + 1)) if limit is None else limit
    start = sigma**2 / d if start is None else start
    odds_end, odds_start = share / (1 - share), start / (limit - start)
    return np.log(odds_end / odds_start) / (2 * np.sqrt(d) if rate is None else rate)


def time_by_the_flow(share, d, n, sigma):
    """By integrating ds/dt from the start until the share is reached."""
    limit = n / (np.sqrt(d) * (n + d + 1))

    def slope(t, s):
        return 2 * np.sqrt(d) * s * (1 - s / limit)

    def reached(t, s):
        return s[0] - share * limit

    reached.terminal = True
    flow = solve_ivp(slope, (0, 50), [sigma**2 / d], events=reached, rtol=1e-11, atol=1e-15)
    return flow.t_events[0][0]


def exponential_time(share, d, n, sigma):
    limit = n / (np.sqrt(d) * (n + d + 1))
    return np.log(share * limit * d / sigma**2) / np.sqrt(4 * d)


def time_with_plain_share(share, d, n, sigma):
    limit = n / (np.sqrt(d) * (n + d + 1))
    return np.log(share * (limit * d / sigma**2 - 1)) / (2 * np.sqrt(d))


TIME = (
    [time_to, time_by_the_flow],
    [
        (lambda q, d, n, s: time_to(0.5, d, n, s), "does not depend on the share"),
        (lambda q, d, n, s: time_to(1 - q, d, n, s), "takes longer"),
        (lambda q, d, n, s: time_to(q * q, d, n, s), "s is its square"),
        (lambda q, d, n, s: time_to(q, d, n, s, rate=np.sqrt(d)), "twice as fast"),
        (lambda q, d, n, s: time_to(q, d, n, s, rate=2 * d), "you divide by 2 d"),
        (lambda q, d, n, s: time_to(q, d, n, s, rate=2), "lacks the root of d"),
        (lambda q, d, n, s: time_to(q, d, n, s, start=s**2), "starts at sigma^2/d."),
        (lambda q, d, n, s: time_to(q, d, n, s, start=s / d), "squared weight"),
        (lambda q, d, n, s: time_to(q, d, n, s, limit=n / (n + d + 1)), "limit of s"),
        (lambda q, d, n, s: time_to(q, d, n, s) / np.log(10), "natural one"),
        (exponential_time, "exponential growth"),
        (time_with_plain_share, "q/(1 - q)"),
    ],
)


def euler(U, u, cov, n, step, *, u_power=2, sign=1.0, late=False, curve=None, signal=None):
    G = gamma(cov, n) if curve is None else curve
    S = cov @ cov if signal is None else signal
    new_U = U + step * (sign * u * S - u**u_power * (G @ cov @ U @ cov))
    at = new_U if late else U
    new_u = u + step * (sign * np.sum(S * at) - u * np.sum((G @ cov @ at @ cov) * at))
    return new_U, new_u


def euler_by_differences(U, u, cov, n, step):
    """From the loss alone, by central differences (exact up to rounding for a quadratic)."""
    h, slope = 1e-4, np.zeros_like(U)
    for i, j in np.ndindex(U.shape):
        e = np.zeros_like(U)
        e[i, j] = h
        slope[i, j] = (loss(U + e, u, cov, n) - loss(U - e, u, cov, n)) / (2 * h)
    by_u = (loss(U, u + h, cov, n) - loss(U, u - h, cov, n)) / (2 * h)
    return U - step * slope, u - step * by_u


def euler_without_transpose(U, u, cov, n, step):
    inner = u * gamma(cov, n) @ cov @ U @ cov - cov @ cov
    return U - step * u * inner, u - step * np.trace(inner @ U)


def euler_with_gamma_on_the_right(U, u, cov, n, step):
    inner = u * cov @ U @ cov @ gamma(cov, n) - cov @ cov
    return U - step * u * inner, u - step * np.trace(inner @ U.T)


def euler_without_the_right_factor(U, u, cov, n, step):
    inner = u * gamma(cov, n) @ cov @ U - cov @ cov
    return U - step * u * inner, u - step * np.trace(inner @ U.T)


def euler_with_a_half(U, u, cov, n, step):
    inner = 0.5 * u * gamma(cov, n) @ cov @ U @ cov - cov @ cov
    return U - step * u * inner, u - step * np.trace(inner @ U.T)


def only_the_slopes(U, u, cov, n, step):
    inner = cov @ cov - u * gamma(cov, n) @ cov @ U @ cov
    return u * inner, np.trace(inner @ U.T)


EULER = (
    [euler, euler_by_differences],
    [
        (lambda U, u, c, n, h: euler(U, u, c, n, -h), "uphill"),
        (only_the_slopes, "these are the derivatives"),
        (lambda U, u, c, n, h: euler(U, u, c, n, 1), "step size does not enter"),
        (lambda U, u, c, n, h: euler(U, u, c, n, h, late=True), "at the old weights"),
        (lambda U, u, c, n, h: (euler(U, u, c, n, h)[0], u), "u has not moved"),
        (lambda U, u, c, n, h: euler(U, u, c, n, h, curve=c), "replaced by Lambda"),
        (lambda U, u, c, n, h: euler(U, u, c, n, h, u_power=1), "for U11 squared"),
        (lambda U, u, c, n, h: euler(U, u, c, n, h, sign=-1), "makes the weights grow"),
        (lambda U, u, c, n, h: euler(U, u, c, n, h, signal=c), "Lambda squared, in both"),
        (euler_without_the_right_factor, "right of U11 is missing"),
        (euler_with_gamma_on_the_right, "stands on the left"),
        (euler_without_transpose, "transpose of U11"),
        (euler_with_a_half, "1/2 of the loss is gone"),
        (lambda U, u, c, n, h: euler(U, u, c, n, h)[::-1], "wrong order"),
    ],
)

TABLE = {
    "04-shifted-loss": LOSS,
    "04-endpoint": ENDPOINT,
    "04-logistic-time": TIME,
    "04-euler": EULER,
}
