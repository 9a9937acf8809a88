"""How much better than the matched filter can anything be?

    mlflow run . -e experiment -P name=ceiling

By the lemma of Neyman and Pearson nothing that is computed from a window finds more
signals than the ratio of its likelihoods with one and without. The simulated windows'
likelihoods are known, noise curve and all, so that ratio can be had, as a mean over
binaries, directions, times and distances: `statistic=bayes` of the matched filter. What
lies between it and another statistic is all that a network could add to that one.
A mean over draws has an error, which costs area. It is taken with several sets of
draws: the error's cost goes as one over their number, so the limit can be told.
Time: 17 core-minutes a set, and three for the other statistics. Result: README.md.
"""

from itertools import combinations

import numpy as np
from scipy.special import logsumexp

from gwres.data.corpus import open_corpus
from gwres.experiment import SMOKE, Measured
from gwres.judging import metrics, predictions
from gwres.layers.whiten import FREQUENCIES
from gwres.matched.score import NAMES, baseline
from gwres.pages import standings
from gwres.simulate.noise import asd
from gwres.simulate.population import population
from gwres.strain import DETECTORS, SCALE
from gwres.training.recipe import Recipe

BEST = "bayes"
SETS = 3
KEPT = ("roc_auc", "tpr_at_fpr")  # what a statistic that is no odds has


def measure(smoke=False):
    """Score the holdout with every statistic, and compare each with the best."""
    small = {key: SMOKE[key] for key in ("bank", "judged", "psd_windows")}
    data = Recipe().vary(small if smoke else {}).data
    corpus, drawn = open_corpus(data), population(data.population)
    holdout = corpus.judged["holdout"]
    labels = holdout.table["label"].to_numpy()
    sets = likelihoods(holdout, drawn, 2 if smoke else SETS)
    best = together(sets)
    scores = {f"{BEST} of {len(sets)} sets": best}
    scores |= {
        name: baseline(holdout, corpus.asd, drawn, name)["logit"].to_numpy()
        for name in NAMES
        if name != BEST
    }
    rows = {}
    for name, logits in scores.items():
        summary, _ = predictions.summary(holdout.table.assign(logit=logits), name)
        named = {key.partition("/")[2]: value for key, value in summary.items()}
        less = metrics.paired(labels, best, logits)
        rows[name] = {k: v for k, v in named.items() if k.startswith(KEPT)}
        rows[name][f"{BEST} less it"] = "" if logits is best else str(less)
    areas = {f"roc_auc/{name}": row["roc_auc"] for name, row in rows.items()}
    return Measured(standings.table(rows), areas | converged(labels, sets))


def likelihoods(windows, drawn, sets):
    """Log Bayes factors of windows, with the noise's own curve, (sets, n)."""
    known = np.stack([asd(detector, FREQUENCIES) for detector in DETECTORS]) / SCALE
    return np.stack(
        [
            baseline(windows, known, drawn, BEST, seed)["logit"].to_numpy()
            for seed in range(sets)
        ]
    )


def together(sets):
    """Log of the mean likelihood ratio of several sets of draws."""
    return logsumexp(sets, axis=0) - np.log(len(sets))


def converged(labels, sets):
    """Area by number of sets, and its limit for ever more sets."""
    every = range(len(sets))
    areas = {
        count: np.mean(
            [
                metrics.roc_auc(labels, together(sets[list(some)])).value
                for some in combinations(every, count)
            ]
        )
        for count in range(1, len(sets) + 1)
    }
    # Least squares in one over the number.
    _, limit = np.polyfit([1 / count for count in areas], list(areas.values()), 1)
    named = {f"roc_auc/of {count} sets": value for count, value in areas.items()}
    return named | {"roc_auc/limit": float(limit)}
