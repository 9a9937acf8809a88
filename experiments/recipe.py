"""What does each change of the default recipe do, one at a time?

    mlflow run . -e experiment -P name=recipe

Scientific: the setting that a row of `VARIED` changes. Fixed: depth 18, the windows
seen, and waveforms for a front end, since on templates a network begins with nearly
all that it will ever know (README.md, `depths`). Nuisance: the seed, three of each.
The table spread has the difference on validation with its error over seeds; a change
that is not beyond twice that error is none. Holdout decides nothing here.
Time: about 3.5 core-minutes a member. Result: README.md.
"""

from gwres import experiment

BASE = {"depth": 18, "frontend": "waveform", "samples": 60_000, "epochs": 4}
SEEDS = 3
VARIED = {
    "default": {},
    "batch norm": {"norm": "batch"},
    "group norm": {"norm": "group"},
    "kernel 15": {"kernel": 15},
    "width 24": {"width": 24},
    "learning rate 0.002": {"learning_rate": 0.002},
    "learning rate 0.008": {"learning_rate": 0.008},
    "loud 1": {"loud": 1.0},
    "float32": {"precision": "float32"},
}


def runs(smoke=False):
    """Each row of `VARIED`, with each seed."""
    return experiment.runs(VARIED, BASE, smoke, SEEDS)
