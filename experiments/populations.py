"""Are the simulated populations as hard as the competition's windows?

    mlflow run . -e experiment -P name=populations
    python -m experiments.populations      # the same, and renews populations.png

The best networks of the competition read 0.883 to 0.886 on its 226,000 test windows.
The Bayes factor of `g2net` should read that, and the coherent evidence 0.003 to 0.004
less. `volumetric` has the same binaries, spread evenly in volume.
Time: about a core-minute for each once its windows are simulated. Result: README.md.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gwres.data.corpus import open_corpus
from gwres.experiment import SMOKE, Measured
from gwres.matched.score import baseline
from gwres.pages import plots, standings
from gwres.simulate.population import POPULATIONS
from gwres.training.recipe import Recipe

DRAWN = {  # column: label, bins
    "network_snr": ("Optimal network SNR", np.arange(0, 30.5, 0.5)),
    "chirp_mass": ("Chirp mass, detector frame (solar masses)", np.arange(8, 36.5, 1)),
    "merger_time": (
        "Merger after the window's start (s)",
        np.arange(1.48, 1.825, 0.01),
    ),
}
STATISTICS = ("coherent", "marginal")
LOOKS = (
    {"color": plots.BLUE, "linestyle": "-"},
    {"color": plots.VERMILLION, "linestyle": "--"},
)


def measure(smoke=False):
    """Areas of the classical statistics on all judged windows; distributions drawn."""
    rows, signals = {}, {}
    for name, drawn in POPULATIONS.items():
        small = {key: SMOKE[key] for key in ("bank", "judged", "psd_windows")}
        recipe = Recipe().vary({"population": name} | (small if smoke else {}))
        corpus = open_corpus(recipe.data)
        tables = [windows.table for windows in corpus.judged.values()]
        every = pd.concat(tables)
        signals[name] = every[every["label"] == 1]
        snrs = signals[name]["network_snr"]
        for statistic in STATISTICS:
            scored = [
                baseline(windows, corpus.asd, drawn, statistic)
                for windows in corpus.judged.values()
            ]
            whole = pd.concat(scored).assign(split="holdout")
            row = standings.row({"holdout": whole})
            about = {"signals": len(snrs), "median_snr": snrs.median()}
            rows[f"{name} {statistic}"] = about | row
    areas = {f"{name}/roc_auc": row["roc_auc"] for name, row in rows.items()}
    figures = {"populations.png": distributions(signals)}
    return Measured(standings.table(rows), areas, figures)


def distributions(signals):
    """Histograms of `DRAWN`: a panel each, a line for each population.

    Args:
        signals: dict of population to DataFrame.

    Returns:
        Figure.
    """
    figure = Figure(figsize=(plots.WIDTH, 8.4), dpi=plots.DPI, layout="constrained")
    for axis, (column, (label, bins)) in zip(figure.subplots(3), DRAWN.items()):
        for (name, table), look in zip(signals.items(), LOOKS):
            values = table[column]
            beyond = (values > bins[-1]).mean()
            text = f"{name}: median {values.median():.3g}"
            if beyond:
                text += f", {100 * beyond:.1f}% to the right"
            weights = np.full(len(values), 100 / len(values))
            style = {"histtype": "step", "linewidth": 1.6, **look}
            axis.hist(values, bins, weights=weights, label=text, **style)
        axis.set(xlabel=label, ylabel="Signals per bin (%)")
        axis.grid(color="#dddddd", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend()
    counts = ", ".join(f"{len(table):,} of {n}" for n, table in signals.items())
    figure.suptitle(f"Simulated signals: {counts}")
    return figure


if __name__ == "__main__":
    measured = measure("smoke" in sys.argv[1:])
    for file, figure in measured.figures.items():
        figure.savefig(Path(__file__).with_name(file), metadata={"Software": None})
    sys.stdout.write(standings.markdown(standings.readable(measured.table)) + "\n")
