"""What is depth worth in the noise of real detectors, beside the best filters?

    mlflow run . -e experiment -P name=detector

Networks of every depth and front end are trained in `noise=detector`, those of
`REPEATED` with three seeds, and judged beside the marginal filter, the coherent
evidence and the filter that doubts glitches, `reweighted`: on 100,000 noise windows at
nature's rates and the signals of the holdout; on hard windows, most of which hold a
glitch close to where a merger may be; and on quiet ones, of the same noise without
glitches. Noise windows are made and scored 2,000 at a time and only their scores are
kept, so that memory stays as it is; run again, it goes on.
Time: three core-hours of training, and one of judging. Result: README.md.
"""

from dataclasses import replace

import numpy as np
import pandas as pd

from gwres import cache
from gwres.data.corpus import JUDGED_SEED, Windows, judged_windows, open_corpus
from gwres.experiment import SMOKE, Measured
from gwres.jobs.train import unlogged
from gwres.judging import metrics, predictions
from gwres.matched.score import score
from gwres.models.classifier import FRONTENDS
from gwres.models.resnet import DEPTHS
from gwres.progress import progress
from gwres.simulate.glitches import GLITCH_SNRS, GLITCHES
from gwres.simulate.noise import DETECTOR, states
from gwres.simulate.population import population
from gwres.strain import DETECTORS
from gwres.training import fit
from gwres.training.recipe import Recipe

BASE = {"noise": "detector", "epochs": 5, "patience": 5}
SAMPLES = {"templates": 150_000, "waveform": 300_000, "spectrogram": 80_000}
# What a front end begins with: weights that know signals, where any ship.
BEGIN = {"templates": {}, "waveform": {"init": "pretrained", "learning_rate": 0.002}}
BEGIN["spectrogram"] = {"init": "pretrained", "learning_rate": 0.002, "batch": 32}
REPEATED, SEEDS = ("resnet16-templates", "resnet34-templates"), 3
STATISTICS = ("marginal", "coherent", "reweighted")
COUNT, CHUNK = 100_000, 2000  # noise windows
RATES = (0.01, 0.001, 0.0001)
HARD = replace(DETECTOR, aimed=0.7)
QUIET = replace(DETECTOR, busy=1e-9)
BINS = (4, 6, 8, 10, 15)


def measure(smoke=False):
    """Train what is not trained yet, score, and make the table."""
    planned = recipes(smoke)
    data = next(iter(planned.values())).data
    signals, corpus = population(data.population), open_corpus(data)
    models = {name: unlogged(recipe, "detector") for name, recipe in planned.items()}
    made_from = {name: recipe.flat() for name, recipe in planned.items()}
    count = 200 if smoke else COUNT
    sets = {
        "noise": scored_noise(models, corpus, signals, made_from, count),
        "holdout": scores(models, corpus, signals, corpus.judged["holdout"]),
    }
    for name, noise in (("hard", HARD), ("quiet", QUIET)):
        windows = judged_windows(signals, "holdout", data.judged, noise)
        sets[name] = scores(models, corpus, signals, windows)
    return judge(sets, [*STATISTICS, *models])


def recipes(smoke=False):
    """The `Recipe` of each network, by name; seeds after the first are in the name."""
    planned = {}
    for frontend in FRONTENDS:
        for depth in DEPTHS:
            changes = BASE | BEGIN[frontend] | {"depth": depth, "frontend": frontend}
            changes["samples"] = SAMPLES[frontend]
            name = f"resnet{depth}-{frontend}"
            for seed in range(SEEDS if name in REPEATED else 1):
                called = f"{name} seed {seed}" if seed else name
                planned[called] = Recipe().vary(changes | {"seed": seed})
    if smoke:
        small = {name: planned[name].vary(SMOKE) for name in list(planned)[:1]}
        return small
    return planned


def scores(models, corpus, signals, windows):
    """The windows' table with a column of logits of each model and statistic."""
    table = windows.table.copy()
    for statistic in STATISTICS:
        table[statistic] = score(windows, corpus.asd, signals, statistic)
    for name, model in models.items():
        table[name] = fit.score(model, windows)["logit"]
    return table


def scored_noise(models, corpus, signals, made_from, count):
    """`scores` of noise windows at nature's rates, a chunk at a time, each kept."""
    key = {"models": made_from, "corpus": corpus.name, "count": min(count, CHUNK)}
    key |= DETECTOR.described()

    def chunk(start):
        def make(folder):
            windows = noise_windows(signals, start, min(start + CHUNK, count))
            table = scores(models, corpus, signals, windows)
            table.to_parquet(folder / "scores.parquet", index=False)

        folder = cache.folder("detector", key | {"start": start}, make)
        return pd.read_parquet(folder / "scores.parquet")

    parts = ((len(part), part) for part in map(chunk, range(0, count, CHUNK)))
    return pd.concat(list(progress(parts, count, "noise windows")), ignore_index=True)


def noise_windows(signals, start, stop):
    """Noise windows, in memory, which depend on their numbers alone: `Windows`."""
    known, strain, asds, rows = states(JUDGED_SEED), [], [], []
    for number in range(start, stop):
        rng = np.random.default_rng([JUDGED_SEED, number, 5])
        window = DETECTOR.window(rng, known, signals.merger_s)
        strain.append(window.strain.astype("<f4"))
        asds.append(window.estimate)
        row = {"id": f"{number:010d}", "split": "noise", "label": 0}
        row["network_snr"] = np.nan
        for detector, kind, loudness in zip(DETECTORS, GLITCHES, GLITCH_SNRS):
            row[kind], row[loudness] = window.loudest(detector)
        rows.append(row)
    strain, asds = np.stack(strain), np.stack(asds)
    return Windows(
        "noise",
        pd.DataFrame(rows),
        lambda first, last: strain[first:last],
        {"noise": [start, stop]},
        lambda first, last: asds[first:last],
    )


def judge(sets, names):
    """The table, and the differences that the question is about.

    Args:
        sets: dict of noise, holdout, hard and quiet to tables of `scores`.
        names: of their columns of logits.

    Returns:
        `Measured`.
    """
    found = sets["holdout"]
    signal = found[found["label"] == 1]
    natural = pd.concat([signal, sets["noise"]], ignore_index=True)
    rows, named = [], {}
    for name in names:
        row = {"name": name}
        for fpr in RATES:
            row[f"tpr_at_fpr_{fpr:g}"] = metrics.tpr_at_fpr(
                natural["label"], natural[name], fpr
            ).value
        quiet = sets["noise"]
        threshold = metrics.threshold(quiet["label"], quiet[name], 0.001)
        for low, high in zip(BINS, BINS[1:]):
            inside = signal["network_snr"].between(low, high, inclusive="left")
            row[f"snr_{low}_{high}"] = (signal.loc[inside, name] > threshold).mean()
        for other in ("hard", "quiet"):
            table = sets[other]
            area = metrics.roc_auc(table["label"], table[name])
            row[f"{other}_roc_auc"] = area.value
            at = metrics.tpr_at_fpr(table["label"], table[name], 0.01)
            row[f"{other}_tpr_at_fpr_0.01"] = at.value
        rows.append(row)
        named |= {f"{name}/{key}": x for key, x in row.items() if key != "name"}
    for name in names[len(STATISTICS) :]:
        for statistic in ("coherent", "reweighted"):
            less = metrics.paired_tpr(
                natural["label"], natural[name], natural[statistic], 0.001
            )
            named[f"{name}/less_{statistic}"] = less.value
            named[f"{name}/less_{statistic}_low"] = less.low
            named[f"{name}/less_{statistic}_high"] = less.high
    for name in names:
        counts = predictions.by_glitch(sets["noise"].assign(logit=sets["noise"][name]))
        for row in counts.to_dict("records") if 0.001 in counts else []:
            share = row[0.001] / row["windows"]
            named[f"{name}/false_alarms_{row['kind'] or 'none'}"] = share
    return Measured(pd.DataFrame(rows), named)
