"""Tune, train the best, evaluate, log: `mlflow run . -P depth=34`."""

import sys

from gwres.mlproject import entry


def main(argv):
    """Parse and run."""
    from gwres import jobs
    from gwres.errors import within
    from gwres.mlproject import options

    recipe, own = options.recipe(
        argv, __doc__, trials=(int, 3), storage=(str, jobs.STORAGE)
    )
    within("trials", own["trials"], 0, 10_000)
    return jobs.fit(recipe, **own)


if __name__ == "__main__":
    entry.run("main", main, sys.argv[1:])
