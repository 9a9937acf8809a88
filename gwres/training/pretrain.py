"""Trains for long, in turns, and keeps the best weights in half precision.

Each turn is a fit of its own that begins with the weights of the turn before, so that a
training can end after any of them and go on with later, on another machine:

    KERAS_BACKEND=jax python -m gwres.training.pretrain material/ weights/ depth=34

needs NumPy, SciPy, scikit-learn, Keras and its backend, and a folder of
`data.material.prepare`.
"""

import argparse
import json
import logging
import sys
from dataclasses import asdict, replace
from pathlib import Path

import keras
import numpy as np
from keras import ops

from gwres.data.material import CHUNK, VALIDATED, open_material
from gwres.data.settings import GAUSSIAN
from gwres.errors import InputError
from gwres.judging.metrics import roc_auc
from gwres.layers.evidence import Evidence
from gwres.layers.templates import Templates
from gwres.models import pretrained
from gwres.training import fit
from gwres.training.recipe import Recipe

logger = logging.getLogger(__name__)
FALLING = 0.5  # each turn's learning rate is that of the turn before, times this
LEAST = 5e-4  # but not less
SAMPLES = 1_000_000  # windows of a turn


def pretrain(recipe, material, folder, turns, work):
    """Train a network for some turns, and write its weights and card after each.

    Args:
        recipe: a `Recipe`; its samples are those of one turn.
        material: a `Material`.
        folder: where weights and cards are written, and taken from to go on.
        turns: number of turns that the weights shall have had in all.
        work: folder for checkpoints.

    Returns:
        The `Card`.

    Raises:
        InputError: another noise than the material's, which is Gaussian.
    """
    if recipe.data.noise != GAUSSIAN:
        raise InputError(f"noise must be {GAUSSIAN}; received {recipe.data.noise}")
    recipe, folder = recipe.sized(), Path(folder)
    judged = material.validation()
    bound = evidence(material, judged)
    card = pretrained.cards(folder).get(recipe.name)
    rows = card.turns if card else []
    for turn in range(len(rows), turns):
        weights = None
        rate = max(recipe.fit.learning_rate * FALLING**turn, LEAST)
        settings = replace(recipe.fit, learning_rate=rate, seed=recipe.fit.seed + turn)
        live = recipe.live if not turn else replace(recipe.live, loud=1.0)
        if card:
            weights = pretrained.find(recipe.name, recipe.model, folder)
        trained = fit.fit(
            replace(recipe, fit=settings, live=live),
            material,
            work / f"{recipe.name}-{turn}",
            weights,
        )
        inner = trained.classifier.get_layer(trained.classifier.name)
        row = {
            "turn": turn,
            "windows": trained.windows,
            "core_seconds": trained.core_seconds,
            "learning_rate": rate,
            "backend": keras.backend.backend(),
        }
        area = roc_auc(judged[1], _logits(inner, judged[0]))
        rows.append(row | {"roc_auc": area.value})
        card = pretrained.Card(
            name=recipe.name,
            network=asdict(replace(recipe.model, dropout=0.0)),
            population=recipe.data.population,
            windows=sum(row["windows"] for row in rows),
            core_seconds=sum(row["core_seconds"] for row in rows),
            roc_auc=(area.value, area.low, area.high),
            evidence=bound,
            judged=f"{VALIDATED:,} windows of live injection, which chose the epoch",
            command=f"{recipe.command} in {len(rows)} turns",
            turns=rows,
        )
        pretrained.save(inner, card, folder)
        logger.info("%s after %d turns: ROC-AUC %s", recipe.name, turn + 1, area)
    return card


def _logits(model, windows):
    chunks = (windows[i : i + CHUNK] for i in range(0, len(windows), CHUNK))
    return fit.predict(model, chunks)


def evidence(material, judged):
    """ROC-AUC of the coherent evidence on windows, as `Material.validation` gives."""
    grid = material.made.design.grid
    series, layer = Templates(grid, dtype="float32"), Evidence(grid.tick, grid.pool)
    series.fit(material.made.design)
    layer.fit(material.made.prior)
    windows, labels = judged
    logits = []
    for start in range(0, len(windows), CHUNK):
        cells, _ = layer(series(windows[start : start + CHUNK].astype(np.float32)))
        logits.append(ops.convert_to_numpy(ops.logsumexp(cells, axis=(1, 2))))
    return roc_auc(labels, np.concatenate(logits).astype(float)).value


def main(argv):
    """Parse and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("material", help="folder of data.material.prepare")
    parser.add_argument("weights", help="folder to take weights from and write to")
    parser.add_argument("settings", nargs="*", help="such as depth=34 samples=1e6")
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--work", default="pretrain", help="folder for checkpoints")
    given = parser.parse_args(argv)
    changes = dict(setting.split("=", 1) for setting in given.settings)
    recipe = Recipe().vary({"frontend": "waveform"} | changes)
    material = open_material(given.material)
    card = pretrain(recipe, material, given.weights, given.turns, Path(given.work))
    sys.stdout.write(json.dumps(asdict(card)) + "\n")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    main(sys.argv[1:])
