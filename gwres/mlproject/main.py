"""Tune, train the best, judge, log: `mlflow run . -P depth=34`."""

import sys

from gwres.mlproject import entry


def main(argv):
    """Parse and run."""
    from gwres.errors import within
    from gwres.jobs.train import STORAGE, train
    from gwres.mlproject import options

    recipe, own = options.recipe(argv, __doc__, trials=(int, 3), storage=(str, STORAGE))
    within("trials", own["trials"], 0, 10_000)
    return train(recipe, **own)


if __name__ == "__main__":
    entry.run("main", main, sys.argv[1:])
