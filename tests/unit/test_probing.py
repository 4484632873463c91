"""Linear probes against scikit-learn, in the min-norm case, and held-out against in-sample."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import mean_squared_error, r2_score

from icl_lib.analysis.probing import (
    Probe,
    fit_probe,
    probe_errors,
    token_probe_errors,
    unexplained_variance,
)


def data(n=40, p=5, k=3, seed=0, noise=0.5):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((n, p)) + 2.0
    weights = rng.standard_normal((p, k))
    return features, features @ weights - 1.0 + noise * rng.standard_normal((n, k))


@settings(deadline=None, max_examples=25)
@given(
    n=st.integers(2, 12),
    p=st.integers(1, 6),
    k=st.integers(1, 3),
    ridge=st.floats(1e-3, 100),
    seed=st.integers(0, 99),
)
def test_equals_sklearn_ridge(n, p, k, ridge, seed):
    features, targets = data(n, p, k, seed)
    probe = fit_probe(features, targets, ridge=ridge)
    oracle = Ridge(alpha=ridge, solver="svd").fit(features, targets)
    assert probe.weights == pytest.approx(oracle.coef_.reshape(k, p).T, abs=1e-8)
    assert probe.intercept == pytest.approx(oracle.intercept_, abs=1e-7)
    new = data(7, p, k, seed + 1)[0]
    assert probe.predict(new) == pytest.approx(oracle.predict(new).reshape(7, k), abs=1e-7)


@pytest.mark.parametrize("shape", [(40, 5, 3), (6, 5, 1)])
def test_equals_sklearn_least_squares(shape):
    features, targets = data(*shape)
    probe, oracle = fit_probe(features, targets), LinearRegression().fit(features, targets)
    assert probe.weights == pytest.approx(oracle.coef_.T, abs=1e-10)
    assert probe.intercept == pytest.approx(oracle.intercept_, abs=1e-10)


def test_minimum_norm_with_more_features_than_rows():
    features, targets = data(n=6, p=20)
    probe = fit_probe(features, targets)
    centred = features - features.mean(0)
    expected = np.linalg.pinv(centred) @ (targets - targets.mean(0))
    assert probe.weights == pytest.approx(expected, abs=1e-10)
    assert probe.predict(features) == pytest.approx(targets, abs=1e-10)
    # adding anything from the null space fits as well and is longer
    null = np.linalg.svd(centred)[2][-1]
    longer = probe.weights + np.outer(null, np.ones(3))
    assert centred @ longer == pytest.approx(centred @ probe.weights, abs=1e-10)
    assert np.linalg.norm(longer) > np.linalg.norm(probe.weights)


def test_ridge_tends_to_the_minimum_norm_solution():
    features, targets = data(n=6, p=20)
    small = fit_probe(features, targets, ridge=1e-9)
    assert small.weights == pytest.approx(fit_probe(features, targets).weights, abs=1e-5)


def test_a_constant_feature_is_left_to_the_intercept():
    features, targets = data()
    probe = fit_probe(np.column_stack([features, np.full(40, 3.0)]), targets)
    assert probe.weights[-1] == pytest.approx(np.zeros(3), abs=1e-12)


class TestUnexplainedVariance:
    def test_equals_sklearn_on_held_out_rows(self):
        features, targets = data(60)
        probe = fit_probe(features[:30], targets[:30])
        got = unexplained_variance(probe, features[30:], targets[30:])
        score = r2_score(
            targets[30:], probe.predict(features[30:]), multioutput="variance_weighted"
        )
        assert got == pytest.approx(1 - score, rel=1e-10)

    def test_in_sample_is_lower_than_held_out(self):
        """More features than rows: perfect in-sample, and no better than nothing held-out."""
        rng = np.random.default_rng(0)
        features, targets = rng.standard_normal((60, 40)), rng.standard_normal((60, 2))
        probe = fit_probe(features[:30], targets[:30])
        assert unexplained_variance(probe, features[:30], targets[:30]) < 1e-20
        assert unexplained_variance(probe, features[30:], targets[30:]) > 1.0

    def test_scale(self):
        features, targets = data(noise=0.0)
        assert unexplained_variance(fit_probe(features, targets), features, targets) < 1e-20
        mean_only = Probe(np.zeros((5, 3)), targets.mean(0))
        assert unexplained_variance(mean_only, features, targets) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("features", "targets", "ridge", "message"),
    [
        (np.ones(3), np.ones((3, 1)), 0.0, "features must have 2 axes"),
        (np.ones((3, 2)), np.ones(3), 0.0, "targets must have 2 axes"),
        (np.ones((3, 2)), np.ones((4, 1)), 0.0, "targets must have 3 rows, as features, got 4"),
        (np.full((3, 2), np.nan), np.ones((3, 1)), 0.0, "features must be finite"),
        (np.ones((3, 2)), np.full((3, 1), np.inf), 0.0, "targets must be finite"),
        (np.ones((3, 2)), np.ones((3, 1)), -1.0, "ridge must be at least 0"),
        (np.ones((0, 2)), np.ones((0, 1)), 0.0, "features must have at least one row"),
    ],
)
def test_bad_data(features, targets, ridge, message):
    with pytest.raises(ValueError, match=message):
        fit_probe(features, targets, ridge=ridge)


def test_bad_features_at_prediction():
    probe = fit_probe(*data())
    with pytest.raises(ValueError, match="features must have 2 axes"):
        probe.predict(np.ones(5))
    with pytest.raises(ValueError, match="features must have 5 columns, got 4"):
        probe.predict(np.ones((2, 4)))


def test_scores_refuse_targets_that_do_not_fit():
    features, targets = data()
    probe = fit_probe(features, targets)
    with pytest.raises(ValueError, match=r"targets must have shape \(40, 3\), got \(40, 1\)"):
        unexplained_variance(probe, features, targets[:, :1])
    with pytest.raises(ValueError, match="targets must vary"):
        unexplained_variance(probe, features, np.ones((40, 3)))


class TestProbeErrors:
    """One probe a layer and position, on the rows of the fit and on all others."""

    def data(self, layers=2, rows=300, length=3, p=4, k=2, noise=0.5):
        rng = np.random.default_rng(8)
        streams = rng.standard_normal((layers, rows, length, p))
        read = rng.standard_normal((p, k))
        targets = streams[1] @ read + noise * rng.standard_normal((rows, length, k))
        return streams, targets

    def test_against_sklearn_without_intercept(self):
        streams, targets = self.data()
        errors = probe_errors(streams, targets, [0, 2], n_fit=120)
        for layer, (column, t) in itertools.product(range(2), enumerate([0, 2])):
            model = LinearRegression(fit_intercept=False)
            model.fit(streams[layer, :120, t], targets[:120, t])
            squares = (model.predict(streams[layer, :, t]) - targets[:, t]) ** 2
            each = squares.sum(1) / 2
            assert errors.in_sample[layer, column] == pytest.approx(each[:120].mean(), rel=1e-9)
            assert errors.held_out[layer, column] == pytest.approx(each[120:].mean(), rel=1e-9)

    def test_the_right_layer_is_readable(self):
        errors = probe_errors(*self.data(noise=0.01), [0, 1, 2], n_fit=100)
        assert (errors.held_out[1] < 0.01 * errors.held_out[0]).all()

    def test_in_sample_flattery(self):
        """Expected ratio (1 + p/(N-p-1))/(1 - p/N), Proposition of Chapter 13; p = 40, N = 100."""
        rng = np.random.default_rng(9)
        streams, noise = rng.standard_normal((1, 4000, 20, 40)), rng.standard_normal((4000, 20, 1))
        errors = probe_errors(streams, noise, range(20), n_fit=100)
        inside, outside = errors.in_sample[0], errors.held_out[0]
        for measured, expected in ((inside, 0.5 * 0.6), (outside, 0.5 * (1 + 40 / 59))):
            se = measured.std(ddof=1) / 20**0.5
            assert abs(measured.mean() - expected) < 4 * se and se < 0.05 * expected

    @pytest.mark.parametrize(
        "change, message",
        [
            ({"n_fit": 300}, "n_fit must be below the 300 sequences"),
            ({"n_fit": 0}, "n_fit must be an integer"),
            ({"targets": np.zeros((5, 3, 2))}, "targets must have shape"),
            ({"streams": np.zeros((2, 3))}, "streams must have 4 axes"),
        ],
    )
    def test_bad_arguments(self, change, message):
        streams, targets = self.data()
        arguments = {"streams": streams, "targets": targets, "n_fit": 100, **change}
        with pytest.raises(ValueError, match=message):
            probe_errors(arguments["streams"], arguments["targets"], [0], n_fit=arguments["n_fit"])


@pytest.mark.parametrize("ridge", [0.5, 3.0])
def test_without_intercept_equals_sklearn(ridge):
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((30, 3)) + 1.0, rng.standard_normal((30, 2))
    probe = fit_probe(x, y, ridge=ridge, intercept=False)
    model = Ridge(alpha=ridge, fit_intercept=False).fit(x, y)
    np.testing.assert_allclose(probe.weights, model.coef_.T, atol=1e-10)
    assert not probe.intercept.any()


class TestTokenProbes:
    """Which elements of a sequence are held by one feature vector, and how well."""

    def data(self, rows=80, length=5, n=3, p=6, noise=0.3):
        rng = np.random.default_rng(12)
        states = rng.standard_normal((rows, length, n)) + 0.5
        read = rng.standard_normal((n, p)), rng.standard_normal((n, p))
        features = states[:, 1] @ read[0] + 0.2 * states[:, 3] @ read[1]
        return features + noise * rng.standard_normal((rows, p)), states

    def test_against_sklearn_without_intercept(self):
        """The mean square over rows and coordinates: scikit-learn's own mean_squared_error."""
        features, states = self.data()
        errors = token_probe_errors(features, states, [4, 1, 0], n_fit=50)
        assert errors.in_sample.shape == errors.held_out.shape == (3,)
        for column, t in enumerate([4, 1, 0]):
            model = LinearRegression(fit_intercept=False).fit(features[:50], states[:50, t])
            for rows, got in ((slice(50), errors.in_sample), (slice(50, None), errors.held_out)):
                expected = mean_squared_error(states[rows, t], model.predict(features[rows]))
                assert got[column] == pytest.approx(expected, rel=1e-9)

    def test_ridge_against_sklearn(self):
        features, states = self.data()
        errors = token_probe_errors(features, states, [2], n_fit=30, ridge=4.0)
        model = Ridge(alpha=4.0, fit_intercept=False).fit(features[:30], states[:30, 2])
        expected = mean_squared_error(states[30:, 2], model.predict(features[30:]))
        assert errors.held_out[0] == pytest.approx(expected, rel=1e-9)

    def test_the_elements_that_are_held(self):
        features, states = self.data(noise=0.0)
        held = token_probe_errors(features, states, range(5), n_fit=40).held_out
        assert (held[[1, 3]] < 1e-20).all() and (held[[0, 2, 4]] > 0.5).all()

    def test_features_that_say_nothing_score_the_mean_square(self):
        states = self.data()[1]
        errors = token_probe_errors(np.zeros((80, 4)), states, [3], n_fit=20)
        assert errors.in_sample[0] == pytest.approx((states[:20, 3] ** 2).mean(), rel=1e-12)
        assert errors.held_out[0] == pytest.approx((states[20:, 3] ** 2).mean(), rel=1e-12)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"features": np.zeros((80, 4, 1))}, "features must have 2 axes"),
            ({"states": np.zeros((80, 5))}, "states must have 3 axes"),
            ({"features": np.full((80, 4), np.nan)}, "features must be finite"),
            ({"states": np.zeros((79, 5, 3))}, "states must hold 80 sequences.*got 79"),
            ({"n_fit": 80}, "n_fit must be below the 80 sequences, got 80"),
            ({"n_fit": 0}, "n_fit must be an integer"),
            ({"ridge": -1.0}, "ridge must be at least 0"),
        ],
    )
    def test_bad_arguments(self, change, message):
        features, states = self.data()
        arguments = {"features": features, "states": states, "n_fit": 40, "ridge": 0.0} | change
        features, states = arguments.pop("features"), arguments.pop("states")
        with pytest.raises(ValueError, match=message):
            token_probe_errors(features, states, [0], **arguments)
