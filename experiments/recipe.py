"""What does each change of the default recipe do, one at a time?

    mlflow run . -e experiment -P name=recipe

Scientific: the setting that a row of `VARIED` changes. Fixed: depth 18, the data, the
windows seen. Nuisance: the seed, three of each; a difference counts beyond its error.
Time: about 2 core-minutes a member. Result: README.md.
"""

from gwres import experiment

BASE = {"depth": 18, "samples": 80_000, "epochs": 4}
SEEDS = 3
VARIED = {
    "default": {},
    "batch norm": {"norm": "batch"},
    "group norm": {"norm": "group"},
    "kernel 15": {"kernel": 15},
    "width 24": {"width": 24},
    "dropout 0.2": {"dropout": 0.2},
    "learning rate 0.002": {"learning_rate": 0.002},
    "learning rate 0.008": {"learning_rate": 0.008},
    "loud 1": {"loud": 1.0},
    "loud 5": {"loud": 5.0},
    "no detector dropped": {"drop": 0.0},
    "batch 128": {"batch": 128},
    "float32": {"precision": "float32"},
}


def runs(smoke=False):
    """Each row of `VARIED`, with each seed."""
    return experiment.runs(VARIED, BASE, smoke, SEEDS)
