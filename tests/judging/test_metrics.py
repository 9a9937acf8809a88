"""Metrics against formulas written out, published numbers and simulation."""

import itertools

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from gwres.errors import InputError
from gwres.judging import metrics


def same(actual, expected, tolerance):
    """Refuse numbers that differ by more than `tolerance`."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance)


def agrees(actual, expected, tolerance, wrong):
    """`actual` is right, and the tolerance would have told `wrong` from it."""
    same(actual, expected, tolerance)
    with pytest.raises(AssertionError):
        same(wrong, expected, tolerance)


def draw(seed, signals, noise, shift=1.0, digits=None):
    """Labels and normal logits, the signals' `shift` higher; rounding makes ties."""
    rng = np.random.default_rng(seed)
    logits = np.concatenate([rng.normal(size=signals) + shift, rng.normal(size=noise)])
    labels = np.repeat([1, 0], [signals, noise])
    order = rng.permutation(len(labels))
    logits = logits if digits is None else logits.round(digits)
    return labels[order], logits[order]


def brute(labels, *many):
    """Areas and their covariance, pair by pair from DeLong's formula."""
    areas, tens, ones = [], [], []
    for logits in many:
        x, y = logits[labels == 1], logits[labels == 0]
        wins = [[1.0 if a > b else 0.5 if a == b else 0.0 for b in y] for a in x]
        areas.append(sum(map(sum, wins)) / len(x) / len(y))
        tens.append([sum(row) / len(y) for row in wins])
        ones.append([sum(column) / len(x) for column in zip(*wins)])
    m, n = len(tens[0]), len(ones[0])
    size = range(len(many))
    covariance = [
        [
            sum((a - areas[r]) * (b - areas[s]) for a, b in zip(tens[r], tens[s]))
            / (m - 1)
            / m
            + sum((a - areas[r]) * (b - areas[s]) for a, b in zip(ones[r], ones[s]))
            / (n - 1)
            / n
            for s in size
        ]
        for r in size
    ]
    return np.array(areas), np.array(covariance)


def error(area):
    """The standard error behind an interval that is symmetric in the logit."""
    half = (logit(area.high) - logit(area.low)) / 2
    return half / norm.ppf(0.975) * area.value * (1 - area.value)


@pytest.mark.parametrize("digits", [None, 0])
def test_area_and_error_are_delongs(digits):
    labels, logits = draw(1, 31, 47, digits=digits)
    areas, covariance = brute(labels, logits)
    area = metrics.roc_auc(labels, logits)
    agrees(area.value, areas[0], 1e-12, wrong=areas[0] + 0.5 / 31 / 47)
    # Dividing by the number rather than one less is the usual slip.
    slip = np.sqrt(covariance[0, 0] * 30 / 31)
    agrees(error(area), np.sqrt(covariance[0, 0]), 1e-12, wrong=slip)
    agrees(area.value, roc_auc_score(labels, logits), 1e-12, wrong=1 - areas[0])
    middle = (logit(area.low) + logit(area.high)) / 2
    agrees(middle, logit(area.value), 1e-12, wrong=area.value)


def test_published_ratings():
    """109 CT images of Hanley and McNeil, Radiology 143, 29 (1982), table 1.

    The Stata manual's example of roctab has their DeLong error and plain interval:
    0.8932, 0.0307, 0.83295 to 0.95339.
    """
    ratings = np.arange(1, 6)
    normal = np.repeat(ratings, [33, 6, 6, 11, 2])
    abnormal = np.repeat(ratings, [3, 2, 2, 11, 33])
    logits = np.concatenate([normal, abnormal])
    labels = np.repeat([0, 1], [len(normal), len(abnormal)])
    area = metrics.roc_auc(labels, logits)
    agrees(area.value, 0.8932, 5e-5, wrong=0.8931)
    # 0.032 is the error that the paper itself gives, by another formula.
    agrees(error(area), 0.0307, 5e-5, wrong=0.032)
    ends = area.value + norm.ppf([0.025, 0.975]) * error(area)
    agrees(ends, [0.83295, 0.95339], 5e-6, wrong=[area.low, area.high])


@pytest.mark.parametrize(("shift", "size"), [(1.0, 60), (2.6, 30)])
def test_interval_of_area_covers(shift, size):
    truth = norm.cdf(shift / np.sqrt(2))
    areas = [metrics.roc_auc(*draw(seed, size, size, shift)) for seed in range(300)]
    covered = np.mean([one.low <= truth <= one.high for one in areas])
    assert 0.91 <= covered <= 0.985
    shifted = np.mean([one.low <= truth + 0.06 <= one.high for one in areas])
    assert shifted < 0.91
    assert all(0 <= one.low <= one.value <= one.high <= 1 for one in areas)


def test_interval_is_honest_where_classes_are_apart():
    labels = np.repeat([0, 1], 20)
    area = metrics.roc_auc(labels, labels * 10.0)
    assert (area.value, area.high) == (1, 1)
    # Wilson's lower end of 20 out of 20.
    agrees(area.low, 20 / (20 + norm.ppf(0.975) ** 2), 1e-12, wrong=1)
    reverse = metrics.roc_auc(labels, -labels * 10.0)
    agrees([reverse.low, reverse.high], [0, 1 - area.low], 1e-12, wrong=[0, 0])
    constant = metrics.roc_auc(labels, np.zeros(40))
    assert constant.low < 0.35 and constant.value == 0.5 and constant.high > 0.65
    single = metrics.roc_auc([0, 0, 1], [0.0, 2.0, 1.0])
    assert single.low < 0.1 and single.value == 0.5 and single.high > 0.9


@pytest.mark.parametrize("digits", [None, 0])
def test_paired_is_delongs(digits):
    labels, a = draw(2, 40, 30, digits=digits)
    b = (a + np.random.default_rng(3).normal(size=70)).round(3 if digits is None else 0)
    areas, covariance = brute(labels, a, b)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    z = (areas[0] - areas[1]) / np.sqrt(variance)
    result = metrics.paired(labels, a, b)
    unpaired = 2 * norm.sf(z * np.sqrt(variance / np.trace(covariance)))
    agrees(result.value, areas[0] - areas[1], 1e-12, wrong=areas[1] - areas[0])
    agrees(result.p, 2 * norm.sf(abs(z)), 1e-12, wrong=unpaired)
    half = norm.ppf(0.975) * np.sqrt(variance)
    ends = [result.value - half, result.value + half]
    agrees([result.low, result.high], ends, 1e-12, wrong=[-half, half])
    back = metrics.paired(labels, b, a)
    assert (back.value, back.p) == (-result.value, result.p)


def test_paired_without_variance():
    labels = np.repeat([0, 1], 3)
    assert metrics.paired(labels, labels * 1.0, labels * 9.0).p == 1
    opposite = metrics.paired(labels, labels * 1.0, labels * -1.0)
    assert opposite.value == 1 and 0.01 < opposite.p < 0.2


def test_paired_is_fair_and_can_tell():
    """Two models as good as one another differ in 5% of tests; a better one wins."""

    def p(seed, noise):
        labels, truth = draw(seed, 100, 100, shift=1.2)
        rng = np.random.default_rng([seed, 1])
        a = truth + rng.normal(size=200)
        return metrics.paired(labels, a, truth + noise * rng.normal(size=200)).p

    equal = np.mean([p(seed, 1.0) < 0.05 for seed in range(300)])
    worse = np.mean([p(seed, 5.0) < 0.05 for seed in range(60)])
    assert 0.015 <= equal <= 0.09
    assert worse > 0.8


@pytest.mark.parametrize("limit", [0.01, 0.1, 0.37, 1.0])
def test_partial_area_is_mcclishs(limit):
    labels, logits = draw(4, 200, 150, digits=1)
    x, y = logits[labels == 1], logits[labels == 0]
    points = [(0.0, 0.0)]
    points += [(np.mean(y >= t), np.mean(x >= t)) for t in np.unique(logits)[::-1]]
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        stop = min(x1, limit)
        if x1 > x0 and stop > x0:
            top = y0 + (y1 - y0) * (stop - x0) / (x1 - x0)
            area += (stop - x0) * (y0 + top) / 2
    chance = limit**2 / 2
    expected = (1 + (area - chance) / (limit - chance)) / 2
    wrong = area / limit + (limit == 1) * 1e-3
    agrees(metrics.partial_auc(labels, logits, limit), expected, 1e-12, wrong=wrong)


def test_sensitivity_never_passes_more_noise_than_allowed():
    for seed, fpr in itertools.product(range(20), (0.01, 0.05, 0.29, 0.5)):
        labels, logits = draw(seed, 50, 100, digits=1)
        x, y = logits[labels == 1], logits[labels == 0]
        # Every threshold there is, tried one by one.
        tried = [t for t in [*y, -np.inf] if (y > t).sum() <= round(fpr * 100)]
        expected = max(np.mean(x > t) for t in tried)
        value = metrics.tpr_at_fpr(labels, logits, fpr).value
        agrees(value, expected, 1e-12, wrong=expected + 1 / 50)
        assert metrics.threshold(labels, logits, fpr) == min(tried)


def test_sensitivity_without_noise_to_spare():
    result = metrics.tpr_at_fpr([0, 0, 1, 1], [0.0, 1.0, 0.5, 2.0], 0.01)
    assert result.value == 0.5 and result.low == 0 and 0.9 < result.high < 1


@pytest.mark.parametrize(("fpr", "noise"), [(0.01, 1000), (0.1, 300)])
def test_interval_of_sensitivity_covers(fpr, noise):
    """It covers the truth; Wilson's alone, blind to the threshold, does not."""
    truth = norm.sf(norm.isf(fpr) - 1.5)
    joined = own = 0
    for seed in range(200):
        result = metrics.tpr_at_fpr(*draw(seed, 1000, noise, 1.5), fpr)
        wilson = metrics.wilson(result.value * 1000, 1000)
        joined += result.low <= truth <= result.high
        own += wilson.low <= truth <= wilson.high
    assert joined / 200 >= 0.92
    assert own / 200 < 0.8


def test_wilson():
    """Newcombe, Stat. Med. 17, 857 (1998), table I: 81 of 263, and 0 of 20."""
    one = metrics.wilson(81, 263)
    agrees([one.low, one.high], [0.2553, 0.3662], 5e-5, wrong=[0.2522, 0.3638])
    none = metrics.wilson(0, 20)
    agrees([none.low, none.high], [0, 0.1611], 5e-5, wrong=[0, 0.15])
    assert metrics.wilson(20, 20).high == 1


def test_brier_and_accuracy():
    labels, logits = [1, 0, 1, 0], np.log([3.0, 1 / 3, 1 / 3, 1.0])
    errors = (0.0625 + 0.0625 + 0.5625 + 0.25) / 4
    agrees(metrics.brier(labels, logits), errors, 1e-12, wrong=errors * 2)
    assert metrics.accuracy(labels, logits) == 0.75
    assert metrics.brier([1, 0], [800.0, -800.0]) == 0
    assert metrics.brier([1], [800.0]) == 0


def test_calibration_of_calibrated_logits():
    rng = np.random.default_rng(5)
    logits = rng.normal(size=20_000) * 1.5
    labels = (rng.random(20_000) < expit(logits)).astype(int)
    table = metrics.calibration(labels, logits, 10)
    assert [one.count for one in table] == [2000] * 10
    assert sum(one.measure.low <= one.mean <= one.measure.high for one in table) >= 8
    assert all(one.low <= one.mean <= one.high for one in table)
    assert metrics.calibration_error(labels, logits) < 0.012
    assert metrics.calibration_error(labels, 3 * logits) > 0.1


def test_calibration_never_parts_equal_logits():
    labels = np.repeat([1, 0], 50)
    (one,) = metrics.calibration(labels, np.zeros(100))
    assert (one.count, one.mean, one.measure.value) == (100, 0.5, 0.5)
    logits = np.repeat([logit(0.9), logit(0.2)], 50)
    expected = 0.5 * 0.1 + 0.5 * 0.2
    agrees(metrics.calibration_error(labels, logits), expected, 1e-12, wrong=0.1)


def test_snr_bins_hold_their_signals_against_all_noise():
    labels, logits = draw(6, 60, 80)
    snrs = np.full(140, np.nan)
    snrs[labels == 1] = np.repeat([4.0, 5.9, 6.0, 20.0, np.nan], [15, 15, 15, 9, 6])
    first, second = metrics.by_snr(labels, logits, snrs)
    assert (first.low, first.high, first.count) == (4, 6, 30)
    assert (second.low, second.high, second.count) == (6, 8, 15)
    agrees(first.mean, 4.95, 1e-12, wrong=5)
    rows = (labels == 0) | (snrs == 6.0)
    expected = metrics.roc_auc(labels[rows], logits[rows])
    assert second.measure == expected
    assert first.measure != expected
    everything = metrics.by_snr(labels, logits, snrs, least=1)
    assert [one.count for one in everything] == [30, 15, 9]


NEED_BOTH = [
    metrics.roc_auc,
    lambda labels, logits: metrics.paired(labels, logits, logits),
    lambda labels, logits: metrics.partial_auc(labels, logits, 0.1),
    lambda labels, logits: metrics.tpr_at_fpr(labels, logits, 0.1),
]


@pytest.mark.parametrize("function", NEED_BOTH)
def test_one_class_is_refused_with_its_counts(function):
    with pytest.raises(InputError, match="received 3 signals and 0 noise windows"):
        function([1, 1, 1], [0.0, 1.0, 2.0])
    with pytest.raises(InputError, match="received 0 signals and 2 noise windows"):
        function([0, 0], [0.0, 1.0])


@pytest.mark.parametrize(
    "function",
    [*NEED_BOTH, metrics.brier, metrics.accuracy, metrics.calibration],
)
@pytest.mark.parametrize(
    ("labels", "logits", "message"),
    [
        ([0, 1], [np.nan, 1.0], "1 of 2 that are NaN"),
        ([0, 1], [np.inf, 1.0], "1 of 2 that are NaN or infinite"),
        ([0, 2], [0.0, 1.0], "labels must be 0 or 1"),
        ([0, 1, 1], [0.0, 1.0], r"\(3,\) and \(2,\)"),
        ([], [], "at least one"),
        ([[0, 1]], [[0.0, 1.0]], r"\(1, 2\)"),
    ],
)
def test_bad_rows_are_refused(function, labels, logits, message):
    with pytest.raises(InputError, match=message):
        function(labels, logits)


@pytest.mark.parametrize("rate", [0, -0.1, 1.1])
def test_bad_rates_are_refused(rate):
    for function in (metrics.tpr_at_fpr, metrics.partial_auc, metrics.threshold):
        with pytest.raises(InputError, match=f"received {rate}"):
            function([0, 1], [0.0, 1.0], rate)


def resampled_tpr(labels, a, b, fpr, draws=400):
    """Ends of the difference's interval, by drawing whole windows again."""
    rng = np.random.default_rng(1)
    signal = np.flatnonzero(labels == 1)
    noise = np.flatnonzero(labels == 0)

    def share(logits, signals, quiet):
        allowed = int(fpr * len(quiet) + 1e-9)
        return (logits[signals] > np.sort(logits[quiet])[::-1][allowed]).mean()

    found = []
    for _ in range(draws):
        signals, quiet = rng.choice(signal, len(signal)), rng.choice(noise, len(noise))
        found.append(share(a, signals, quiet) - share(b, signals, quiet))
    return np.quantile(found, [0.025, 0.975])


def test_paired_tpr_is_the_bootstrap_of_whole_windows():
    labels, better = draw(3, 600, 4000, shift=2.5)
    worse = 0.8 * better + 0.6 * np.random.default_rng(4).normal(size=len(better))
    for fpr in (0.01, 0.002):
        found = metrics.paired_tpr(labels, better, worse, fpr)
        alone = [
            metrics.tpr_at_fpr(labels, each, fpr).value for each in (better, worse)
        ]
        assert found.value == pytest.approx(alone[0] - alone[1])
        low, high = resampled_tpr(labels, better, worse, fpr)
        agrees([found.low, found.high], [low, high], 0.025, [low - 0.06, high])
        assert found.low < found.value < found.high


def test_paired_tpr_of_the_same_logits_is_nothing():
    labels, logits = draw(5, 300, 2000)
    found = metrics.paired_tpr(labels, logits, 2 * logits + 1, 0.01)
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_paired_tpr_is_sure_of_much_and_not_of_little():
    labels, good = draw(6, 500, 5000, shift=3.0)
    rng = np.random.default_rng(7)
    # Among the noise a few, loud for one of them: the threshold goes up.
    fooled = good.copy()
    loud = np.flatnonzero(labels == 0)[:40]
    fooled[loud] += 8
    assert metrics.paired_tpr(labels, good, fooled, 0.001).p < 0.01
    nearly = good + 0.01 * rng.normal(size=len(good))
    assert metrics.paired_tpr(labels, good, nearly, 0.001).p > 0.05


def test_a_threshold_needs_noise_alone():
    assert metrics.threshold([0, 0, 0], [3.0, 1.0, 2.0], 0.4) == 2.0
    with pytest.raises(InputError, match="needs noise windows; received none"):
        metrics.threshold([1, 1], [0.0, 1.0], 0.1)
