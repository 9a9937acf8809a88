"""How far do networks of one recipe lie apart by chance alone?

    mlflow run . -e experiment -P name=seeds

Scientific: the seed, of weights and of all that is drawn. Fixed: everything else.
Time: about 2 core-minutes a member. Result: README.md.
"""

from gwres import experiment

BASE = {"depth": 18, "samples": 80_000, "epochs": 4}
SEEDS = 5


def runs(smoke=False):
    """One recipe, five seeds."""
    return experiment.runs({"default": {}}, BASE, smoke, SEEDS)
