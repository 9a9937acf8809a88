"""Does anything but the signal tell the holdout's signals from its noise?

    mlflow run . -e experiment -P name=silence
    python -m experiments.silence classifier.keras    # of a run's model, not trained

The front end `templates` knows signals before any training, so that shuffled labels,
the experiment `leakage`, leave it what it finds. Here the labels stay and the signals
go: the holdout is made again with the same draws, but with its binaries a million times
farther away. What a classifier then tells apart it does not tell by the signal.
Time: about 3 core-minutes. Result: README.md.
"""

import sys
from dataclasses import replace

import keras
import numpy as np
import pandas as pd

from gwres.data.corpus import judged_windows, open_corpus
from gwres.data.settings import Data
from gwres.experiment import SMOKE, Measured
from gwres.jobs.train import unlogged
from gwres.judging import metrics
from gwres.pages import standings
from gwres.simulate.population import population
from gwres.training import fit
from gwres.training.recipe import Recipe

BASE = {"depth": 18, "samples": 25_600, "epochs": 2}
FARTHER = 1e6


def measure(smoke=False):
    """Train, then judge with the signals and without."""
    recipe = Recipe().vary(BASE | (SMOKE if smoke else {}))
    return judge(unlogged(recipe, "silence"), recipe.data)


def judge(model, data):
    """Compare a classifier on the holdout with itself on the silent one.

    Args:
        model: a classifier.
        data: a `Data` of simulated windows.

    Returns:
        `Measured`.

    Raises:
        ValueError: the silent holdout is not the same but for its signals.
    """
    heard = open_corpus(data).judged["holdout"]
    drawn = population(data.population)
    quiet = replace(drawn, loudness=drawn.loudness.quieter(FARTHER))
    silent = judged_windows(quiet, "holdout", data.judged)
    labels = heard.table["label"]
    first = int(np.argmax(labels == 0))
    noise = [windows.read(first, first + 1) for windows in (heard, silent)]
    if (silent.table["label"] != labels).any() or (noise[0] != noise[1]).any():
        raise ValueError("expected the holdout's labels and noise, received others")

    rows = []
    for name, judged in (("holdout", heard), ("its signals taken out", silent)):
        table = fit.score(model, judged)
        area = metrics.roc_auc(table["label"], table["logit"])
        rows.append(
            {
                "name": name,
                "median_snr": table.loc[table["label"] == 1, "network_snr"].median(),
                "roc_auc": area.value,
                "roc_auc_low": area.low,
                "roc_auc_high": area.high,
            }
        )
    areas = {f"{row['name']}/roc_auc": row["roc_auc"] for row in rows}
    return Measured(pd.DataFrame(rows), areas)


if __name__ == "__main__":
    trained = keras.models.load_model(sys.argv[1])
    measured = judge(trained, Data())
    sys.stdout.write(standings.markdown(standings.readable(measured.table)) + "\n")
