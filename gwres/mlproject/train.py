"""One training run with given settings: `mlflow run . -e train -P depth=18`."""

import sys

from gwres.mlproject import entry


def main(argv):
    """Parse and run."""
    from gwres.jobs.train import train
    from gwres.mlproject import options

    recipe, _ = options.recipe(argv, __doc__)
    return train(recipe)


if __name__ == "__main__":
    entry.run("train", main, sys.argv[1:])
