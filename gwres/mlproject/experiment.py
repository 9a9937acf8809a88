"""A set of runs and one table: `mlflow run . -e experiment -P name=depths`."""

import sys

from gwres.mlproject import entry


def main(argv):
    """Parse and run."""
    from gwres.jobs import experiment
    from gwres.mlproject import options

    own = options.read(argv, __doc__, name=(str, ""), smoke=(bool, False))
    experiment.run(own["name"], own["smoke"], entry.run)


if __name__ == "__main__":
    entry.run("experiment", main, sys.argv[1:])
