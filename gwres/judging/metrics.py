"""How well logits tell signals from noise, with the uncertainty of each number.

Every function takes `labels`, (n,) of 0 for noise and 1 for signal, and `logits`, (n,)
of any finite real: the higher, the more like a signal. Intervals hold 95%. All raise
`InputError` for what `check` refuses; those that rank, also where there is one class.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit
from scipy.stats import binom, norm, rankdata
from sklearn.metrics import roc_auc_score

from gwres.errors import InputError

CONFIDENCE = 0.95  # of every interval
SIGNIFICANCE = 0.05  # two-sided p-value below which a difference counts
Z = norm.ppf((1 + CONFIDENCE) / 2)
SNRS = (0.0, 4.0, 6.0, 8.0, 10.0, 15.0, np.inf)  # edges of the bins of network SNR
LEAST = 10  # signals in a bin: below, an interval tells nothing


@dataclass(frozen=True)
class Interval:
    """An estimate and the ends of its 95% interval."""

    value: float
    low: float
    high: float

    def __str__(self):
        """As every page shows it: 0.8522 (0.8400 to 0.8635)."""
        return f"{self.value:.4f} ({self.low:.4f} to {self.high:.4f})"


@dataclass(frozen=True)
class Difference(Interval):
    """A difference, its 95% interval, and the two-sided p-value of no difference."""

    p: float

    def __str__(self):
        """With its sign: +0.0006 (-0.0037 to +0.0050)."""
        return f"{self.value:+.4f} ({self.low:+.4f} to {self.high:+.4f})"


@dataclass(frozen=True)
class Bin:
    """The windows of one bin and what was measured on them."""

    low: float  # edge, inside
    high: float  # edge, outside
    mean: float  # of what is binned: network SNR, or probability
    count: int  # of windows
    measure: Interval


def check(labels, logits):
    """Labels as a boolean array and logits as float64.

    Raises:
        InputError: shapes differ or are not (n,), nothing in them, a label that is
            neither 0 nor 1, or a logit that is NaN or infinite.
    """
    labels, logits = np.asarray(labels), np.asarray(logits, dtype=np.float64)
    if labels.ndim != 1 or labels.shape != logits.shape or not len(labels):
        raise InputError(
            "expected as many labels as logits, at least one; received shapes "
            f"{labels.shape} and {logits.shape}"
        )
    if not np.isin(labels, (0, 1)).all():
        raise InputError(f"labels must be 0 or 1; received {np.unique(labels)[:5]}")
    broken = int((~np.isfinite(logits)).sum())
    if broken:
        raise InputError(
            f"logits must be finite; received {broken:,} of {len(logits):,} that are "
            "NaN or infinite"
        )
    return labels.astype(bool), logits


def _classes(labels, *logits):
    """Each of `logits` as a pair: those of the signals, those of the noise."""
    checked = [check(labels, one) for one in logits]
    signal = checked[0][0]
    signals, noise = int(signal.sum()), int((~signal).sum())
    if not signals or not noise:
        raise InputError(
            "expected signals and noise to tell apart; received "
            f"{signals:,} signals and {noise:,} noise windows"
        )
    return [(values[signal], values[~signal]) for _, values in checked]


def _placements(signals, noise):
    """How many noise windows each signal beats, and how many signals beat each noise.

    A tie counts half, so the counts are exact in floating point.
    """
    ranks = rankdata(np.concatenate([signals, noise]))
    beaten = ranks[: len(signals)] - rankdata(signals)
    beating = len(signals) - (ranks[len(signals) :] - rankdata(noise))
    return beaten, beating


def _variance(beaten, beating):
    """DeLong's variance of the area; NaN where a class has only one window."""
    m, n = len(beaten), len(beating)
    if min(m, n) < 2:
        return np.nan
    return beaten.var(ddof=1) / n**2 / m + beating.var(ddof=1) / m**2 / n


def wilson(successes, count):
    """A proportion and its Wilson score interval.

    Args:
        successes: 0 to `count`; the formula also holds between whole numbers.
        count: of trials, at least 1.

    Source:
        Wilson, J. Am. Stat. Assoc. 22, 209 (1927).
    """
    value = float(successes / count)
    middle = (value + Z**2 / (2 * count)) / (1 + Z**2 / count)
    spread = value * (1 - value) / count + Z**2 / (4 * count**2)
    half = float(Z * np.sqrt(spread) / (1 + Z**2 / count))
    # Rounding may leave an end on the wrong side of 0, 1 or the value itself.
    low, high = max(middle - half, 0.0), min(middle + half, 1.0)
    return Interval(value, min(float(low), value), max(float(high), value))


def roc_auc(labels, logits):
    """Area under the ROC curve with its DeLong interval.

    The interval is symmetric on the logit scale of the area. On the plain scale it
    would pass 1 for good models, and be too short below. Where DeLong's variance is
    zero or undefined (the classes lie wholly apart, or one has a single window), the
    largest variance that an area can have, A(1-A)/min(m, n), takes its place: the
    Wilson interval of min(m, n) trials.

    Returns:
        `Interval` within 0 and 1.

    Source:
        DeLong et al., Biometrics 44, 837 (1988), by the midranks of Sun and Xu, IEEE
        Signal Process. Lett. 21, 1389 (2014). The bound: Birnbaum and Klose, Ann. Math.
        Stat. 28, 933 (1957).
    """
    ((signals, noise),) = _classes(labels, logits)
    beaten, beating = _placements(signals, noise)
    area = float(beaten.mean() / len(noise))
    variance = _variance(beaten, beating)
    smaller = min(len(signals), len(noise))
    if not variance > 0:
        return wilson(area * smaller, smaller)
    half = Z * np.sqrt(variance) / (area * (1 - area))
    low, high = expit([logit(area) - half, logit(area) + half])
    return Interval(area, float(low), float(high))


def paired(labels, a, b):
    """Difference in area of two sets of logits of the same windows, a less b.

    DeLong's test: the variance is that of the differences in placement, which includes
    the covariance of the two areas. Where it is zero, as for two models that order all
    windows alike, a difference of 0 has p = 1; any other is compared with the largest
    variance that a difference can have by chance, 1/min(m, n).

    Returns:
        `Difference`, its ends within -1 and 1.

    Source:
        DeLong et al., Biometrics 44, 837 (1988), equation 4.
    """
    classes = _classes(labels, a, b)
    m, n = (len(one) for one in classes[0])
    first, second = (_placements(*one) for one in classes)
    beaten, beating = (x - y for x, y in zip(first, second))
    difference = float(beaten.mean() / n)
    variance = _variance(beaten, beating)
    if not variance > 0:
        same = not beaten.any() and not beating.any()
        variance = 0.0 if same else 1 / min(m, n)
    error = float(np.sqrt(variance))
    p = 2 * norm.sf(abs(difference) / error) if error else 1.0
    low, high = np.clip([difference - Z * error, difference + Z * error], -1, 1)
    return Difference(difference, float(low), float(high), float(p))


def partial_auc(labels, logits, max_fpr):
    """Area under the ROC curve up to `max_fpr`, which is above 0 and at most 1.

    The curve is interpolated there, and the area standardised: 0.5 for chance and 1 for
    a perfect order, at any `max_fpr`.

    Source:
        McClish, Med. Decis. Making 9, 190 (1989).
    """
    _classes(labels, logits)
    if not 0 < max_fpr <= 1:
        raise InputError(f"max_fpr must be above 0 and at most 1; received {max_fpr}")
    return float(roc_auc_score(labels, logits, max_fpr=max_fpr))


def threshold(labels, logits, fpr):
    """The lowest logit that at most a share `fpr` of the noise, 0 < fpr < 1, exceeds.

    Returns:
        float: windows above it pass.

    Raises:
        InputError: no noise.
    """
    signal, values = check(labels, logits)
    noise = np.sort(values[~signal])[::-1]
    if not len(noise):
        raise InputError("a threshold needs noise windows; received none")
    return float(noise[_allowed(fpr, len(noise))])


def _allowed(fpr, count):
    """How many of so many noise windows may pass."""
    if not 0 < fpr < 1:
        raise InputError(f"fpr must be between 0 and 1; received {fpr}")
    # The margin is for products such as 0.29 * 100, which rounds to below 29.
    return int(fpr * count + 1e-9)


def tpr_at_fpr(labels, logits, fpr):
    """Sensitivity where at most a share `fpr` of the noise, 0 < fpr < 1, passes.

    The value is the height of the ROC curve at or left of `fpr`, not interpolated. The
    interval combines two uncertainties: that of the share of signals (Wilson), and that
    of the threshold, for the number of noise windows above the true one is binomial.
    With fewer than 3.7/fpr noise windows it may be none, and the lower end is near 0.

    Source:
        Joined by the square-and-add of Zou and Donner, Stat. Med. 27, 1693 (2008).
    """
    ((signals, noise),) = _classes(labels, logits)
    own = wilson((signals > threshold(labels, logits, fpr)).sum(), len(signals))
    loudest = np.append(np.sort(noise)[::-1], -np.inf)
    few, many = (int(count) for count in binom.interval(CONFIDENCE, len(noise), fpr))
    least = (signals > loudest[few - 1]).mean() if few else 0.0
    most = (signals > loudest[many]).mean()
    low = own.value - np.hypot(own.value - own.low, own.value - least)
    high = own.value + np.hypot(own.high - own.value, most - own.value)
    return Interval(own.value, float(max(low, 0)), float(min(high, 1)))


def paired_tpr(labels, a, b, fpr, draws=1000, seed=0):
    """Difference in `tpr_at_fpr` of two sets of logits of the same windows, a less b.

    By the bootstrap: signals and noise windows are drawn again, each with its logits of
    both sets, so that the thresholds move together.

    Args:
        labels: see the module.
        a: logits.
        b: logits of the same windows.
        fpr: above 0, below 1.
        draws: of the bootstrap.
        seed: of its random numbers.

    Returns:
        `Difference`; its p is twice the smaller share of draws on a side of 0.

    Source:
        Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    classes = _classes(labels, a, b)
    count = len(classes[0][1])
    allowed = _allowed(fpr, count)
    # Only the loudest noise can be a threshold: the rest of a draw is a number.
    most = 4 * allowed + 50
    kept = np.unique(
        np.concatenate([np.argsort(-noise)[:most] for _, noise in classes])
    )
    orders = [np.argsort(-noise[kept]) for _, noise in classes]

    def share(place, chosen, counts):
        signals, noise = classes[place]
        order = orders[place]
        above = np.searchsorted(np.cumsum(counts[order]), allowed, side="right")
        loudest = np.append(noise[kept][order], -np.inf)
        return (signals[chosen] > loudest[above]).mean()

    rng = np.random.default_rng(seed)
    chance = np.append(np.full(len(kept), 1 / count), 1 - len(kept) / count)
    found = np.empty(draws)
    for draw in range(draws):
        counts = rng.multinomial(count, np.clip(chance, 0, 1))[:-1]
        chosen = rng.integers(len(classes[0][0]), size=len(classes[0][0]))
        found[draw] = share(0, chosen, counts) - share(1, chosen, counts)
    heights = [
        (signals > threshold(labels, logits, fpr)).mean()
        for logits, (signals, _) in zip((a, b), classes)
    ]
    value = heights[0] - heights[1]
    low, high = np.quantile(found, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    p = 2 * min((found <= 0).mean(), (found >= 0).mean())
    return Difference(float(value), float(low), float(high), float(min(p, 1.0)))


def brier(labels, logits):
    """Mean squared error of the probabilities, from 0; 0.25 for always one half.

    Source:
        Brier, Mon. Weather Rev. 78, 1 (1950).
    """
    signal, values = check(labels, logits)
    return float(np.mean((expit(values) - signal) ** 2))


def accuracy(labels, logits):
    """Share of windows on the right side of logit 0, which itself is called noise."""
    signal, values = check(labels, logits)
    return float(np.mean((values > 0) == signal))


def calibration(labels, logits, bins=10):
    """The observed share of signals beside the predicted probability.

    There are at most `bins` bins, with about equal numbers of windows, so that no point
    rests on a handful. Equal logits stay in one bin.

    Returns:
        list of `Bin` by predicted probability; `measure` is the observed share.
    """
    signal, values = check(labels, logits)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
    where = np.searchsorted(edges, values, side="right")
    ends = [0.0, *expit(edges), 1.0]
    table = []
    for i in np.unique(where):
        inside = where == i
        mean, count = float(expit(values[inside]).mean()), int(inside.sum())
        share = wilson(signal[inside].sum(), count)
        table.append(Bin(float(ends[i]), float(ends[i + 1]), mean, count, share))
    return table


def calibration_error(labels, logits, bins=10):
    """Expected calibration error: mean |observed - predicted| over the bins.

    Source:
        Naeini et al., AAAI 29, 2901 (2015); equal counts as in Nixon et al., CVPRW 38
        (2019).
    """
    table = calibration(labels, logits, bins)
    gaps = [abs(one.measure.value - one.mean) for one in table]
    return float(np.average(gaps, weights=[one.count for one in table]))


def by_snr(labels, logits, snrs, measure=roc_auc, edges=SNRS, least=LEAST):
    """Measure the signals of each bin of network SNR against all of the noise.

    Args:
        labels: 0 or 1, (n,).
        logits: finite, (n,).
        snrs: network SNR, (n,): NaN where unknown. That of noise is not read.
        measure: called with labels and logits; returns an `Interval`.
        edges: of the bins, rising.
        least: signals that a bin needs.

    Returns:
        list of `Bin`, without the bins that hold fewer.
    """
    signal, values = check(labels, logits)
    snrs = np.asarray(snrs, dtype=np.float64)
    table = []
    for low, high in zip(edges[:-1], edges[1:]):
        inside = signal & (snrs >= low) & (snrs < high)
        count = int(inside.sum())
        if count < max(least, 1):
            continue
        rows = inside | ~signal
        result = measure(signal[rows], values[rows])
        table.append(Bin(low, high, float(snrs[inside].mean()), count, result))
    return table
