"""The job that trains the weights that ship, network after network, in turns."""

import logging
import shutil
from dataclasses import asdict, replace
from pathlib import Path

from gwres import cache
from gwres.data.material import open_material, prepare
from gwres.data.settings import GAUSSIAN, SIMULATED
from gwres.errors import InputError, within
from gwres.jobs.publish import publish
from gwres.models import pretrained
from gwres.pages import notes
from gwres.training.pretrain import SAMPLES
from gwres.training.pretrain import pretrain as train

logger = logging.getLogger(__name__)


def pretrain(recipe, depths, frontends, turns, out):
    """Train networks in turns, so that all get on, and write their weights.

    Goes on where an earlier call stopped: within a turn from its last checkpoint, and
    from the weights in the folder.

    Args:
        recipe: a `Recipe`; its samples are those of one turn, 0 for `SAMPLES`.
        depths: list of depths.
        frontends: list of front ends.
        turns: number of turns that each network shall have had in all.
        out: folder of the weights; "" for those of the package.

    Raises:
        InputError: data that are not simulated in Gaussian noise, or a setting out of
            range.
    """
    if recipe.data.source != SIMULATED:
        raise InputError(f"data must be {SIMULATED}; received {recipe.data.source}")
    if recipe.data.noise != GAUSSIAN:
        raise InputError(f"noise must be {GAUSSIAN}; received {recipe.data.noise}")
    within("turns", turns, 1, 10_000)
    fit = replace(recipe.fit, samples=recipe.fit.samples or SAMPLES)
    recipe = replace(recipe, fit=fit)
    recipes = [
        recipe.vary({"depth": depth, "frontend": frontend})
        for frontend in frontends
        for depth in depths
    ]
    out = Path(out or pretrained.FOLDER)
    material = open_material(prepare(recipe.data.population, recipe.data.bank))
    cards = {}
    for turn in range(1, turns + 1):
        for one in recipes:
            logger.info("pretraining %s, turn %d of %d", one.name, turn, turns)
            settings = {"pretrain": one.flat(), "data": material.name}
            with cache.workplace(settings) as work:
                cards[one.name] = train(one, material, out, turn, work)
    rows = [
        {
            "network": card.name,
            "ROC-AUC": "{:.4f} ({:.4f} to {:.4f})".format(*card.roc_auc),
            "evidence": f"{card.evidence:.4f}",
            "windows": f"{card.windows:,}",
            "core-s": f"{card.core_seconds:,.0f}",
        }
        for card in cards.values()
    ]

    def write(folder):
        for name in cards:
            for path in (out / f"{name}.json", *out.glob(f"{name}-????????.npz")):
                shutil.copy(path, folder / path.name)

    publish(
        lambda place: notes.pretrained(rows, out),
        write=write,
        settings={f"hp.{key}": value for key, value in asdict(recipe.fit).items()},
        metrics={f"{name}/roc_auc": card.roc_auc[0] for name, card in cards.items()},
    )
