"""Choose, stack, gate and alias: `mlflow run . -e promote`."""

import sys

from gwres.mlproject import entry


def main(argv):
    """Parse and run."""
    from gwres.jobs import promote
    from gwres.mlproject import options
    from gwres.tracking.tags import VAL_AREA

    own = options.read(
        argv,
        __doc__,
        members=(str, "all"),
        metric=(str, VAL_AREA),
        experiment=(str, "own"),
        split_hash=(str, "any"),
        dry=(bool, False),
        rollback=(bool, False),
    )
    if own.pop("rollback"):
        promote.rollback()
    else:
        promote.promote(**own)


if __name__ == "__main__":
    entry.run("promote", main, sys.argv[1:])
