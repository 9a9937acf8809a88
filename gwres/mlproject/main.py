"""Tune, train the best, evaluate, log: `mlflow run . -P depth=34`."""

import sys

from gwres import jobs, tracking
from gwres.errors import within
from gwres.mlproject import options


def main(argv):
    """Parse and run."""
    recipe, own = options.recipe(
        argv, __doc__, trials=(int, 3), storage=(str, jobs.STORAGE)
    )
    within("trials", own["trials"], 0, 10_000)
    jobs.fit(recipe, **own)


if __name__ == "__main__":
    tracking.entry("main", lambda: main(sys.argv[1:]))
