"""Standard errors against statsmodels, scipy and repeated experiments."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import statsmodels.api as sm

from icl_lib.statistics import distance_in_errors, mean_and_covariance, mean_and_se, regression


def noisy_line(rng, size=200):
    """Features, and a target whose noise grows with the first of them."""
    features = rng.standard_normal((size, 3))
    noise = rng.standard_normal(size) * (0.2 + np.abs(features[:, 0]))
    return features, features @ [1.0, -2.0, 0.5] + noise


def test_mean_equals_scipy():
    samples = np.random.default_rng(0).exponential(size=50)
    found = mean_and_se(samples)
    assert found.value == pytest.approx(samples.mean())
    assert found.se == pytest.approx(scipy.stats.sem(samples))


def test_regression_equals_statsmodels():
    features, target = noisy_line(np.random.default_rng(1))
    coefficients, covariance = regression(features, target)
    other = sm.OLS(target, features).fit(cov_type="HC0")
    assert np.allclose(coefficients, other.params, rtol=1e-10)
    assert np.allclose(covariance, other.cov_params(), rtol=1e-8)
    plain = sm.OLS(target, features).fit().cov_params()  # equal variances: wrong here
    assert not np.allclose(covariance, plain, rtol=0.1)


def test_the_covariance_of_a_mean_over_repeated_experiments():
    rng = np.random.default_rng(2)
    root = np.array([[1.0, 0.0], [0.8, 0.5]])
    means = np.array([(rng.standard_normal((100, 2)) @ root.T).mean(0) for _ in range(4000)])
    mean, covariance = mean_and_covariance(rng.standard_normal((100_000, 2)) @ root.T)
    assert np.allclose(covariance * 1000, np.cov(means, rowvar=False), atol=0.0008)
    assert np.allclose(mean, 0, atol=0.02)


def test_the_distance_is_chi_squared():
    """Over 2000 experiments: mean and spread as stated, quantiles as scipy's."""
    rng = np.random.default_rng(3)
    root = np.tril(rng.standard_normal((5, 5))) + 2 * np.eye(5)
    draws = rng.standard_normal((2000, 5)) @ root.T
    found = [distance_in_errors(draw, root @ root.T) for draw in draws]
    values = np.array([one.value for one in found])
    assert found[0].se == pytest.approx((2 / 5) ** 0.5)
    assert values.mean() == pytest.approx(1, abs=4 * found[0].se / 2000**0.5)
    assert values.std() == pytest.approx(found[0].se, rel=0.1)
    assert scipy.stats.kstest(5 * values, scipy.stats.chi2(5).cdf).pvalue > 0.001


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: mean_and_se([1.0]), "samples must be at least two, got 1"),
        (lambda: mean_and_se([1.0, np.nan]), "samples must be finite"),
        (lambda: mean_and_se(np.ones((2, 2))), "samples must have 1 axes"),
        (lambda: mean_and_covariance(np.ones((3, 2))), "samples must be at least 4, got 3"),
        (lambda: regression(np.ones((3, 1)), np.ones(4)), "features must have shape"),
        (lambda: regression(np.ones((2, 2)), np.ones(2)), "features must have shape"),
        (lambda: regression(np.ones((5, 2)), np.ones(5)), "features must be of full rank"),
        (lambda: distance_in_errors([1.0], np.ones((2, 2))), "covariance must have shape"),
        (lambda: distance_in_errors([1.0, 2.0], np.ones((2, 2))), "covariance must be invertible"),
        (lambda: distance_in_errors([], np.ones((0, 0))), "covariance must have shape"),
    ],
)
def test_bad_input(call, match):
    with pytest.raises(ValueError, match=match):
        call()
