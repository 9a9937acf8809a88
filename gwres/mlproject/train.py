"""One training run with given settings: `mlflow run . -e train -P depth=18`."""

import sys

from gwres import jobs, tracking
from gwres.mlproject import options


def main(argv):
    """Parse and run."""
    recipe, _ = options.recipe(argv, __doc__)
    jobs.fit(recipe)


if __name__ == "__main__":
    tracking.entry("train", lambda: main(sys.argv[1:]))
