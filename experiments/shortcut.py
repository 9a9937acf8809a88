"""Does training in whitened space agree with raw strain through the whitening layer?

    mlflow run . -e experiment -P name=shortcut
    python -m experiments.shortcut classifier.keras    # of a run's model, not trained

One trained network judges the same signals in the same noise twice: as raw strain,
noise and signal whitened together by the model's own layer; and as training makes
windows, the bank's signal added in whitened space, here to noise that was whitened
alone. The areas must agree to 0.003. Beside them, the same signals in the white noise
of live injection, whose difference holds the luck of other noise too.
Time: about 5 core-minutes. Result: README.md.
"""

import sys

import keras
import numpy as np
import pandas as pd

from gwres.data.pipeline import Injection, recorded
from gwres.data.settings import Data
from gwres.experiment import SMOKE, Measured
from gwres.jobs.train import unlogged
from gwres.judging import metrics
from gwres.layers.whiten import FREQUENCIES, gain, whiten
from gwres.pages import standings
from gwres.simulate import dataset, waveforms
from gwres.simulate.noise import noise
from gwres.simulate.population import EXTRINSIC, population
from gwres.strain import SAMPLE_RATE
from gwres.training.recipe import Recipe

BASE = {"depth": 18, "samples": 80_000, "epochs": 4}
SIGNALS = 4000
SEED = 21  # of the signals and of their noise: none is trained on
CHUNK = 250


def measure(smoke=False):
    """Train, score the windows by both ways, compare."""
    recipe = Recipe().vary(BASE | (SMOKE if smoke else {}))
    model = unlogged(recipe, "shortcut")
    drawn = population(recipe.data.population)
    return judge(model, drawn, 64 if smoke else SIGNALS)


def judge(model, drawn, count):
    """Compare a classifier with itself on signals of a population.

    Args:
        model: a classifier.
        drawn: a `Population`.
        count: number of signals, and of windows of noise.

    Returns:
        `Measured`.
    """
    folder = waveforms.bank(drawn, count, SEED)
    rows = pd.read_parquet(folder / "parameters.parquet")
    powers = np.load(folder / "power.npy")
    rng = np.random.default_rng([SEED, 1])
    extrinsic = waveforms.place(drawn, powers, rng)
    rows = rows.assign(**extrinsic)
    spectra = np.load(folder / "spectra.npy", mmap_mode="r")
    asd = np.asarray(model.get_layer("whiten").asd, dtype=float)
    scores = {"raw": [], "whitened": [], "live": []}
    network, gains = model.get_layer(model.name), gain(asd, FREQUENCIES)
    injection = Injection.through(asd, drawn.segment)
    for start in range(0, count, CHUNK):
        part = slice(start, start + CHUNK)
        rng = np.random.default_rng([SEED, 2, start])
        pairs = len(rows[part])
        strain = _strain(rows[part], drawn)
        signal = _whitened(rows[part], spectra[part], injection, drawn.segment)
        quiet = noise(rng, 2 * pairs)
        raw = quiet[:pairs] + strain, quiet[pairs:]
        scores["raw"].append(_halves(model, *raw))
        white = np.asarray(whiten(quiet, gains))
        both = white[:pairs] + signal, white[pairs:]
        scores["whitened"].append(_halves(network, *both))
        shape = 2 * pairs, *injection.shape
        normals = rng.standard_normal(shape, dtype=np.float32)
        live = np.asarray(injection.noise(normals))
        both = live[:pairs] + signal, live[pairs:]
        scores["live"].append(_halves(network, *both))
    logits = {name: np.concatenate(parts, axis=1) for name, parts in scores.items()}
    return _compared(logits)


def _strain(rows, drawn):
    """What the detectors record of the binaries, (n, 3, 4096)."""
    made = drawn.approximant, SAMPLE_RATE / 2, drawn.held_s
    return np.stack(
        [
            dataset.record(row, waveforms.polarisations(row, *made))[0]
            for row in rows.to_dict("records")
        ]
    )


def _whitened(rows, spectra, injection, segment):
    """The same as live injection makes it of the bank, (n, 2048, 3)."""
    extrinsic = {name: rows[name].to_numpy() for name in EXTRINSIC}
    chosen = np.array(spectra).view(np.float32).reshape(*spectra.shape, 2)
    return np.asarray(injection.signal(chosen, *recorded(extrinsic, segment)))


def _halves(model, signals, quiet):
    """Logits (2, n) of windows with signals and of noise."""
    return np.stack([model.predict_on_batch(x)[:, 0] for x in (signals, quiet)])


def _compared(logits):
    """Areas, and their differences to that of raw strain."""
    labels = np.repeat([1, 0], logits["raw"].shape[1])
    flat = {name: values.ravel().astype(float) for name, values in logits.items()}
    rows = []
    for name, values in flat.items():
        area = metrics.roc_auc(labels, values)
        apart = metrics.paired(labels, values, flat["raw"])
        rows.append(
            {
                "name": name,
                "roc_auc": area.value,
                "roc_auc_low": area.low,
                "roc_auc_high": area.high,
                "difference": apart.value,
                "low": apart.low,
                "high": apart.high,
            }
        )
    keyed = {row["name"]: row for row in rows}
    areas = {f"{name}/roc_auc": row["roc_auc"] for name, row in keyed.items()}
    areas["whitened/difference"] = keyed["whitened"]["difference"]
    return Measured(pd.DataFrame(rows), areas)


if __name__ == "__main__":
    trained = keras.models.load_model(sys.argv[1])
    measured = judge(trained, population(Data().population), SIGNALS)
    sys.stdout.write(standings.markdown(standings.readable(measured.table)) + "\n")
