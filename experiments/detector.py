"""What is depth worth in the noise of real detectors, beside the best filters?

    mlflow run . -e experiment -P name=detector

Networks of every depth and front end are trained in `noise=detector`, those of
`REPEATED` with three seeds, and judged beside the marginal filter, the coherent
evidence, the filter that doubts glitches, `reweighted`, and the evidence that the front
end `templates` begins with, `consistent`: on 100,000 noise windows at nature's rates
and the signals of the holdout; on hard windows, most of which hold a glitch close to
where a merger may be; on quiet ones, of the same noise without glitches; and on the
holdout without V1, with V1 alone, and with a glitch on each merger, where logits must
still be log odds.

Noise windows are made and scored 2,000 at a time, so that memory stays as it is.
Whitened ones, 1.2 GB, are kept with the filters' scores for networks to come, and so
are the networks: run again, it goes on.
Time: an hour of one core for training, and an hour and a half for judging. Result:
README.md.
"""

from dataclasses import replace
from functools import lru_cache

import keras
import numpy as np
import pandas as pd

from gwres import cache, proof
from gwres.data.corpus import JUDGED_SEED, Windows, judged_windows, open_corpus
from gwres.data.pack import whitened
from gwres.errors import InputError
from gwres.experiment import SMOKE, Measured
from gwres.jobs.train import unlogged
from gwres.judging import metrics, predictions
from gwres.layers.whiten import fingerprint
from gwres.matched.score import baseline
from gwres.models.classifier import FRONTENDS
from gwres.models.resnet import DEPTHS
from gwres.models.stack import split
from gwres.progress import progress
from gwres.simulate import glitches
from gwres.simulate.glitches import GLITCH_SNRS, GLITCHES
from gwres.simulate.noise import DETECTOR, states
from gwres.simulate.population import population
from gwres.strain import DETECTORS, WHITENED_SAMPLES
from gwres.training.epochs import PREDICT_BATCH
from gwres.training.recipe import Recipe

BASE = {"noise": "detector", "glitches": 0.4, "drop": 0.15, "epochs": 4, "patience": 4}
SAMPLES = {"templates": 60_000, "waveform": 30_000, "spectrogram": 20_000}
# What a front end begins with: weights that know signals, where any ship.
BEGIN = {"templates": {}, "waveform": {"init": "pretrained", "learning_rate": 0.002}}
BEGIN["spectrogram"] = {"init": "pretrained", "learning_rate": 0.002, "batch": 32}
REPEATED, SEEDS = ("resnet16-templates", "resnet34-templates"), 3
STATISTICS = ("marginal", "coherent", "reweighted", "consistent")
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
    models = {name: trained(recipe, corpus) for name, recipe in planned.items()}
    fronts = together(models, planned)
    count = 200 if smoke else COUNT
    sets = {"noise": scored_noise(fronts, planned, corpus, signals, count)}
    holdout = corpus.judged["holdout"]
    judged = {"holdout": holdout, "no_v1": without(holdout, 2)}
    judged["v1_alone"] = without(holdout, 0, 1)
    judged["on_merger"] = disturbed(holdout, signals)
    for name, noise in (("hard", HARD), ("quiet", QUIET)):
        judged[name] = judged_windows(signals, "holdout", data.judged, noise)
    sets |= {name: scores(fronts, corpus, signals, x) for name, x in judged.items()}
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


def trained(recipe, corpus):
    """A recipe's classifier, trained now if it was not before."""

    def make(folder):
        unlogged(recipe, "detector").save(folder / "classifier.keras")

    key = {"recipe": recipe.flat(), "corpus": corpus.name}
    path = cache.folder("detector", key, make) / "classifier.keras"
    return keras.models.load_model(path)


def without(windows, *detectors):
    """The same windows without data of some detectors."""

    def read(start, stop):
        strain = windows.read(start, stop)
        strain[:, list(detectors)] = 0
        return strain

    key = {"windows": windows.key, "without": detectors}
    return replace(windows, read=read, key=key)


def disturbed(windows, signals):
    """The same windows with one more glitch, of any kind alike, where a merger is.

    Noise has it where a merger might be. It lies within the merger's own width, and is
    as loud by the window's own spectrum as its kind is.
    """

    def read(start, stop):
        strain, asds = windows.read(start, stop), windows.known(start, stop)
        rows = windows.table.iloc[start:stop]
        for number, own, asd, row in zip(
            range(start, stop), strain, asds, rows.to_dict("records")
        ):
            rng = np.random.default_rng([JUDGED_SEED, number, 6])
            detector, kind = rng.integers(2), str(rng.choice(list(glitches.KINDS)))
            merger = row["merger_time"]
            if not row["label"]:
                merger = rng.uniform(*signals.merger_s)
            time_s = merger + rng.normal(0, 0.02)
            made = glitches.draw(rng, kind, DETECTORS[detector], time_s)
            hertz = np.arange(asd.shape[1])
            changed = own[detector].astype(float)
            made.add(changed, np.interp(glitches.FREQUENCIES, hertz, asd[detector]))
            own[detector] = changed
        return strain

    return replace(windows, read=read, key={"windows": windows.key, "on": "merger"})


def scores(fronts, corpus, signals, windows):
    """The windows' table with a column of each statistic's and network's logits."""
    table, white = filtered(corpus, signals, windows), packed(corpus, windows)
    for names, network in fronts:
        table[names] = predicted(network, white)
    return table


def filtered(corpus, signals, windows):
    """The windows' table with a column of each statistic's scores."""
    scored = {
        name: baseline(windows, corpus.asd, signals, name)["logit"].to_numpy()
        for name in STATISTICS
    }
    return windows.table.assign(**scored)


def packed(corpus, windows):
    """The whitened windows, cached: `proof.Rows`, float16 (n, 2048, 3)."""

    def make(folder):
        shape = len(windows), WHITENED_SAMPLES, len(DETECTORS)
        with proof.writing_rows(folder / "white.npy", "<f2", shape) as append:
            for white in whitened(windows.chunks(PREDICT_BATCH), corpus.asd):
                append(white)

    key = {"whitened": windows.key, "asd": fingerprint(corpus.asd)}
    return proof.Rows(cache.folder("detector", key, make) / "white.npy")


def predicted(network, white):
    """Logits (n, networks) of whitened windows, by a network of `together`."""
    starts = range(0, len(white), PREDICT_BATCH)
    pieces = (np.float32(white[start : start + PREDICT_BATCH]) for start in starts)
    return np.concatenate([network.predict_on_batch(piece) for piece in pieces])


def together(models, planned):
    """Networks by front end, which those of one share: it costs most.

    Args:
        models: dict of name to classifier.
        planned: dict of name to the `Recipe` of each.

    Returns:
        list of (names, keras.Model of whitened windows to a logit of each).
    """
    fronts = []
    for frontend in FRONTENDS:
        names = [name for name in models if planned[name].frontend == frontend]
        if not names:
            continue
        parts = [split(models[name].layers[-1]) for name in names]
        entrance = keras.Input((WHITENED_SAMPLES, len(DETECTORS)))
        front = parts[0][0]
        middle = front(entrance) if front else entrance
        columns = [trunk(middle) for _, trunk in parts]
        joint = keras.ops.concatenate(columns, axis=1)
        fronts.append((names, keras.Model(entrance, joint)))
    return fronts


def scored_noise(fronts, planned, corpus, signals, count):
    """`scores` of noise windows at nature's rates, a chunk at a time, each kept.

    Args:
        fronts: as `together` gives them.
        planned: dict of name to the `Recipe` of each network.
        corpus: a `Corpus`.
        signals: its `Population`.
        count: number of windows.
    """
    pairs = [(at, min(at + CHUNK, count)) for at in range(0, count, CHUNK)]

    def chunk(low, high):
        windows = noise_windows(signals, low, high)
        packed(corpus, windows)
        return high - low, filtered(corpus, signals, windows)

    made = (chunk(low, high) for low, high in pairs)
    tables = list(progress(made, count, "noise windows"))
    table = pd.concat(tables, ignore_index=True)
    for names, network in fronts:
        recipes = [planned[name].flat() for name in names]
        table[names] = logits(network, recipes, corpus, signals, pairs)
    return table


def logits(network, recipes, corpus, signals, pairs):
    """Logits of noise windows by a network of `together`, (n, networks), cached."""

    def make(folder):
        # Made anew, so that no chunk stays in memory.
        chunks = (noise_windows(signals, low, high) for low, high in pairs)
        parts = [predicted(network, packed(corpus, windows)) for windows in chunks]
        np.save(folder / "logits.npy", np.concatenate(parts))

    key = {"recipes": recipes, "corpus": corpus.name, "windows": pairs}
    folder = cache.folder("detector", key | DETECTOR.described(), make)
    return np.load(folder / "logits.npy", allow_pickle=False).astype(float)


def noise_windows(signals, start, stop):
    """Noise windows that depend on their numbers alone: `Windows`, drawn when read."""

    @lru_cache
    def drawn():
        return draw(signals, start, stop)

    def write(folder):
        drawn()[0].to_parquet(folder / "table.parquet", index=False)

    key = {"windows": [start, stop], "seed": JUDGED_SEED, "population": signals.key}
    key |= DETECTOR.described()
    table = pd.read_parquet(cache.folder("detector", key, write) / "table.parquet")
    return Windows(
        "noise",
        table,
        lambda first, last: drawn()[1][first:last],
        key,
        lambda first, last: drawn()[2][first:last],
    )


def draw(signals, start, stop):
    """The table, the strain and the ASDs of noise windows."""
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
    return pd.DataFrame(rows), np.stack(strain), np.stack(asds)


def judge(sets, names):
    """The table, and the differences that the question is about.

    Args:
        sets: dict of noise, holdout, hard and quiet to tables of `scores`.
        names: of their columns of logits.

    Returns:
        `Measured`.
    """
    found = sets["holdout"]
    finite = {
        name: np.isfinite(table[names]).all(axis=None) for name, table in sets.items()
    }
    if not all(finite.values()):
        raise InputError(f"expected finite scores, received {finite}")
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
        for other in ("holdout", "no_v1", "v1_alone", "on_merger"):
            table = sets[other]
            error = metrics.calibration_error(table["label"], table[name])
            # What the filters give is no odds.
            odds = name not in ("marginal", "reweighted")
            row[f"{other}_calibration_error"] = error if odds else np.nan
            row[f"{other}_roc_auc"] = metrics.roc_auc(table["label"], table[name]).value
        rows.append(row)
        numbers = {key: x for key, x in row.items() if key != "name" and x == x}
        named |= {f"{name}/{key}": x for key, x in numbers.items()}
    for name in names[len(STATISTICS) :]:
        for statistic in STATISTICS[1:]:
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
