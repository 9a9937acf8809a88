"""Does anything but the signal tell the label?

    mlflow run . -e experiment -P name=leakage

A network whose training labels are shuffled within each batch has nothing to learn.
If it tells the holdout's signals from its noise all the same, it knows them otherwise.
The front end `waveform` is the one that knows nothing beforehand; see `silence` for the
one that does.
One validation at the end, so that no epoch is chosen for its score.
The answer is the mean over seeds with its interval, in the table spread. One network's
DeLong interval holds the chance of the windows, not that of its weights: a function of
the window that is drawn at random still leans one way or the other.
Scientific: whether labels are shuffled. Nuisance: the seed.
Time: about 2 core-minutes a member. Result: README.md.
"""

from gwres import experiment

BASE = {"depth": 18, "frontend": "waveform", "samples": 80_000, "epochs": 1}
SEEDS = 5


def runs(smoke=False):
    """Shuffled labels with each seed."""
    return experiment.runs({"shuffled labels": {"permute": True}}, BASE, smoke, SEEDS)
