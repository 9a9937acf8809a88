"""How long a network trains until it tells signals from noise this well.

The learning rate falls to nothing at the end of a training, so what a network is worth
shows there only: each budget is a training of its own, with its own fall. A budget is
seconds of this machine with all its cores, from the first weights to the last
validation; how many windows fit in is measured first.

    python -m benchmarks.time_to_auc --depths 18,34 --budgets 60,180,600

Any setting of the recipe can be given too, such as --width 24.
"""

import sys
import tempfile
import time

import pandas as pd

from gwres.data.corpus import open_corpus
from gwres.judging import metrics
from gwres.mlproject import options
from gwres.pages import standings
from gwres.training import fit

LEVELS = (0.80, 0.82, 0.83, 0.84)
PROBE = 12_800  # windows that the speed is measured on
VALIDATIONS = 4


def timed(recipe, opened):
    """Train from the start.

    Returns:
        (`train.Trained`, seconds, core-seconds), all included.
    """
    wall, core = time.monotonic(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        trained = fit.fit(recipe, opened, folder)
    return trained, time.monotonic() - wall, time.process_time() - core


def speed(recipe, opened):
    """Seconds before a training is under way, and its windows per second after."""
    few, many = (
        timed(recipe.vary({"samples": count, "epochs": 1}), opened)[1]
        for count in (PROBE // 4, PROBE)
    )
    rate = (PROBE - PROBE // 4) / max(many - few, 1e-3)
    return max(few - PROBE / 4 / rate, 0.0), rate


def main(argv):
    """Measure and print two tables: every training, and the least time to each AUC."""
    given, own = options.recipe(
        argv, __doc__, depths=(str, "18,34"), budgets=(str, "60,180,600")
    )
    opened = open_corpus(given.data)
    opened.validation()  # packed, so that no training pays for it
    holdout = opened.judged["holdout"]
    rows, reached = {}, {}
    for depth in own["depths"].split(","):
        recipe = given.vary({"depth": depth, "epochs": VALIDATIONS})
        before, rate = speed(recipe, opened)
        print(f"{recipe.name}: {rate:,.0f} windows/s after {before:.0f} s", flush=True)
        for budget in sorted(map(float, own["budgets"].split(","))):
            samples = max(int((budget - before) * rate), 64 * VALIDATIONS)
            trained, wall, core = timed(recipe.vary({"samples": samples}), opened)
            scored = fit.score(trained.classifier, holdout)
            area = metrics.roc_auc(scored["label"], scored["logit"])
            ends = {"roc_auc_low": area.low, "roc_auc_high": area.high}
            name = f"{recipe.name}, {budget:.0f} s"
            costs = {"seconds": round(wall), "core_seconds": core}
            rows[name] = {"windows": trained.windows, **costs, "roc_auc": area.value}
            rows[name] |= ends
            print(f"{name}: {wall:.0f} s, {area.value:.4f}", flush=True)
            for level in LEVELS:
                if area.value >= level:
                    costs = f"{wall:.0f} s ({core:.0f} core-s)"
                    reached.setdefault(recipe.name, {}).setdefault(level, costs)
    print(standings.markdown(standings.readable(standings.table(rows))))
    levels = {
        name: {f"{level:.2f}": reached.get(name, {}).get(level, "") for level in LEVELS}
        for name in {name.partition(",")[0]: None for name in rows}
    }
    first = pd.DataFrame.from_dict(levels, orient="index").reset_index(names="network")
    print(standings.markdown(first))


if __name__ == "__main__":
    main(sys.argv[1:])
