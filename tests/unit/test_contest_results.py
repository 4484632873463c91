"""What a contest reports, against exact risks, the bootstrap and sums by hand."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import chi2

from icl_lib.contest import Contestant, Estimate, Information, contest, tune_grid
from icl_lib.theory import optimum, solvers

SEEN = Information(newest_pair=True, query_token="none", clip=None)


def result_of(*errors, **options):
    """A contest whose contestants make exactly these errors, (B, T) each: targets are 0."""
    entries = [
        Contestant(name, lambda p, e=e: np.sqrt(e), SEEN)
        for name, e in zip("abc", errors, strict=False)
    ]
    return contest(
        entries, np.arange(len(errors[0])), np.zeros_like(errors[0]), information=SEEN, **options
    )


def correlated(batch=300, positions=6, seed=0):
    """Two methods whose errors share a hard or easy prompt, and a neighbour's mistakes."""
    rng = np.random.default_rng(seed)
    hard = rng.exponential(size=(batch, 1))
    walk = np.abs(rng.standard_normal((2, batch, positions)).cumsum(-1))
    return 2 * hard + walk[0], hard + 0.5 * walk[1]


def bootstrap_se(statistic, *errors, draws=4000):
    """Whole prompts drawn with replacement, the same for both methods."""
    rng, batch = np.random.default_rng(1), len(errors[0])
    chosen = rng.integers(batch, size=(draws, batch))
    return np.std([statistic(*(e[rows] for e in errors)) for rows in chosen], axis=0)


NOISE = 0.5  # variance of the label noise


def ridge_risk(n):
    """The posterior variance s^2 / (sum x^2 + s^2), averaged over the chi-square sum."""
    return quad(lambda q: NOISE / (q + NOISE) * chi2(n).pdf(q), 0, np.inf)[0] if n else 1.0


def averaging_risk(n):
    return optimum.preconditioner_risk(np.eye(1), np.eye(1), n, noise_var=NOISE) if n else 1.0


@pytest.fixture(scope="module")
def setting():
    """Ridge and averaging in one dimension, x, w ~ N(0, 1), and their exact risks (2, T)."""
    rng = np.random.default_rng(3)
    xs, w = rng.standard_normal((20_000, 6, 1)), rng.standard_normal((20_000, 1))
    clean = xs[..., 0] * w
    prompts = (xs, clean + np.sqrt(NOISE) * rng.standard_normal(clean.shape))
    rules = {"ridge": lambda *p: solvers.ridge(*p, NOISE), "averaging": solvers.averaging}
    entries = [
        Contestant(name, lambda p, s=solver: solvers.prefix_predictions(s, *p), SEEN)
        for name, solver in rules.items()
    ]
    exact = np.array([[risk(n) for n in range(6)] for risk in (ridge_risk, averaging_risk)])
    return contest(entries, prompts, clean, information=SEEN), exact


class TestExactRisks:
    def test_by_position_and_overall(self, setting):
        result, exact = setting
        mean, median, se = result.by_position()
        assert np.abs((mean - exact) / se).max() < 4
        assert (se / exact).max() < 0.1 and (median < mean).all()  # averaging has heavy tails
        value, se = result.overall()
        assert np.abs((value - exact.mean(1)) / se).max() < 4

    def test_difference_and_ratio(self, setting):
        result, exact = setting
        ridge, averaging = exact.mean(1)
        value, se = result.difference("averaging", "ridge")
        assert abs(value - (averaging - ridge)) < 4 * se < 0.2
        value, se = result.ratio("averaging", "ridge")
        assert abs(value - averaging / ridge) < 4 * se < 0.5

    def test_difference_and_ratio_by_position(self, setting):
        result, (ridge, averaging) = setting
        difference = result.difference("averaging", "ridge", by_position=True)
        ratio = result.ratio("averaging", "ridge", by_position=True)
        # with no pair both predict 0 and do not differ at all
        assert (difference.value[0], difference.se[0], ratio.value[0], ratio.se[0]) == (0, 0, 1, 0)
        for (value, se), exact in ((difference, averaging - ridge), (ratio, averaging / ridge)):
            assert (np.abs(value - exact)[1:] < 4 * se[1:]).all()

    def test_excess(self, setting):
        result, exact = setting
        known, paired = result.excess(exact[0]), result.excess("ridge")
        assert paired.names == ("averaging",)
        for excess, index in ((known, 1), (paired, 0)):
            value, se = excess.overall()
            assert abs(value[index] - (exact[1] - exact[0]).mean()) < 4 * se[index]
        assert abs(known.overall().value[0]) < 4 * known.overall().se[0]

    def test_pairing_is_worth_something(self, setting):
        """The same prompts for both: a smaller error than two separate samples would have."""
        result, _ = setting
        separate = np.hypot(*result.overall().se)
        assert result.difference("averaging", "ridge").se < 0.95 * separate


class TestStandardErrors:
    def test_overall_is_clustered(self):
        """Positions of a prompt are not independent: B prompts, not B T numbers."""
        a, b = correlated()
        se = result_of(a, b).overall().se
        assert se[0] == pytest.approx(bootstrap_se(np.mean, a), rel=0.05)
        assert se[0] > 1.5 * a.std() / np.sqrt(a.size)

    @pytest.mark.parametrize("by_position", [False, True])
    def test_difference_and_ratio_by_bootstrap(self, by_position):
        a, b = correlated()
        axis = 0 if by_position else None
        result = result_of(a, b)
        difference = result.difference("a", "b", by_position=by_position)
        ratio = result.ratio("a", "b", by_position=by_position)
        assert difference.value == pytest.approx(a.mean(axis) - b.mean(axis))
        assert ratio.value == pytest.approx(a.mean(axis) / b.mean(axis))
        booted = bootstrap_se(lambda x, y: x.mean(axis) - y.mean(axis), a, b)
        assert difference.se == pytest.approx(booted, rel=0.06)
        booted = bootstrap_se(lambda x, y: x.mean(axis) / y.mean(axis), a, b)
        assert ratio.se == pytest.approx(booted, rel=0.06)

    def test_ratio_of_excesses_by_bootstrap(self):
        """The floor is subtracted prompt by prompt, so its noise is in the standard error."""
        a, b = correlated()
        floor = correlated(seed=5)[1] * 0.3
        value, se = result_of(a, b, floor).excess("c").ratio("a", "b")
        rate = lambda x, y, f: (x - f).mean() / (y - f).mean()  # noqa: E731
        assert value == pytest.approx(rate(a, b, floor))
        assert se == pytest.approx(bootstrap_se(rate, a, b, floor), rel=0.06)

    def test_a_sum_by_hand(self):
        """Prompts (1, 3), (5, 7) have errors 2 and 6: mean 4, s.e. sqrt(8 / 2) = 2."""
        result = result_of(np.array([[1.0, 3.0], [5.0, 7.0]]), np.array([[1.0, 1.0], [3.0, 3.0]]))
        assert [x[0] for x in result.overall()] == pytest.approx([4, 2])
        # differences 1 and 3: mean 2, s.e. sqrt(2 / 2); a - 2 b is 0 twice, so the ratio is exact
        assert result.difference("a", "b") == pytest.approx((2, 1))
        assert result.ratio("a", "b") == pytest.approx((2, 0))
        assert isinstance(result.ratio("a", "b"), Estimate)
        mean, median, se = result.by_position()
        assert (mean[0], median[0], se[0]) == (
            pytest.approx([3, 5]),
            pytest.approx([3, 5]),
            pytest.approx([2, 2]),
        )


class TestOutliers:
    def test_planted(self):
        """100 prompts of error 1 and two of 50: the two carry one half, of 200."""
        errors = np.ones((102, 3))
        errors[[7, 60]] = 50.0
        result = result_of(errors, np.ones((102, 3)))
        assert result.outlier_share(2) == pytest.approx([0.5, 2 / 102])
        assert result.outlier_share(1) == pytest.approx([0.25, 1 / 102])
        assert result.outlier_share(102) == pytest.approx([1, 1])
        text = repr(result).splitlines()
        assert "median of prompts 1, 1 of the mean from the largest 5" in text[1]
        # the sum of the five largest is 103, over 102 prompts
        assert "0.049 of the mean from the largest 5" in text[2]

    @pytest.mark.parametrize("k", [0, 5, 1.0, True, None])
    def test_bad_number(self, k):
        with pytest.raises(ValueError, match="^k must be"):
            result_of(np.ones((4, 1))).outlier_share(k)

    def test_no_share_of_a_negative_mean(self):
        with pytest.raises(ValueError, match="contestant 'a' has mean"):
            result_of(np.ones((4, 1))).excess(2.0).outlier_share(1)


class TestExcess:
    A, B = np.abs(np.random.default_rng(2).standard_normal((2, 5, 3)))

    @pytest.mark.parametrize("floor", [0.25, np.array([0.1, 0.2, 0.3]), B])
    def test_over_an_array(self, floor):
        result = result_of(self.A, self.B).excess(floor)
        assert result.errors == pytest.approx(np.array([self.A, self.B]) - floor)
        assert "in excess of known errors" in result.describe()

    def test_over_a_name(self):
        result = result_of(self.A, self.B).excess("b")
        assert result.names == ("a",) and result.errors[0] == pytest.approx(self.A - self.B)
        assert "in excess of b" in result.describe()

    @pytest.mark.parametrize(
        ("over", "message"),
        [
            ("d", "over must be one of"),
            (None, "over must be an array of real numbers"),
            (np.ones(5), "over must be a name, a number or have shape"),
            ([1.0, np.nan, 1.0], "over must be finite"),
        ],
    )
    def test_bad_floor(self, over, message):
        with pytest.raises(ValueError, match=message):
            result_of(self.A, self.B).excess(over)

    def test_of_the_only_one(self):
        with pytest.raises(ValueError, match="over must leave a contestant"):
            result_of(self.A).excess("a")


@pytest.mark.parametrize("method", ["difference", "ratio"])
def test_unknown_names(method):
    result = result_of(np.ones((3, 2)), np.ones((3, 2)))
    with pytest.raises(ValueError, match="first must be one of"):
        getattr(result, method)("z", "a")
    with pytest.raises(ValueError, match="second must be one of"):
        getattr(result, method)("a", None)


def test_no_ratio_over_zero():
    with pytest.raises(ValueError, match="got mean 0 for 'b'"):
        result_of(np.ones((3, 2)), np.zeros((3, 2))).ratio("a", "b")


def test_the_sentence_and_the_object():
    xs = np.arange(8.0).reshape(4, 2)
    seen = Information(newest_pair=False, query_token="masked", clip=3)
    entries = [
        Contestant("network", np.zeros_like, seen),
        Contestant("ridge", None, seen, tune=tune_grid(_scaled, [0, 1, 2], per_position=False)),
    ]
    result = contest(
        entries, xs, xs + 1, information=seen, tuning=(xs[:3] - 20, xs[:3]), error="loss"
    )
    assert result.describe() == (
        "network, ridge (2 contestants) on the same 4 prompts of 2 positions, all with newest pair "
        "out, query token masked, outputs clipped at 3; half the squared error; tuned on 3 other "
        "prompts: ridge (one value for all positions, 1 at the edge of the grid)."
    )
    assert repr(result).startswith(result.describe())
    assert result.tuned == {"ridge": (0,)} and result.n_tuning == 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.names = ()
    for table in (result, result.excess("ridge")):
        with pytest.raises(ValueError, match="read-only"):
            table.errors[0, 0, 0] = 1.0
    assert repr(pickle.loads(pickle.dumps(result))) == repr(result)


def _scaled(value):
    return lambda prompts: value * prompts
