"""Tune, train the best, evaluate, log: `mlflow run . -P depth=34`."""

import sys

from gwres import jobs, tracking
from gwres.errors import InputError
from gwres.mlproject import options


def main(argv):
    """Parse and run."""
    recipe, own = options.recipe(
        argv, __doc__, trials=(int, 3), storage=(str, jobs.STORAGE)
    )
    if not 0 <= own["trials"] <= 10_000:
        raise InputError(f"trials must be from 0 to 10,000; received {own['trials']}")
    jobs.fit(recipe, **own)


if __name__ == "__main__":
    tracking.entry("main", lambda: main(sys.argv[1:]))
