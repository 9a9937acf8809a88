"""Choose, stack, gate and alias: `mlflow run . -e promote`."""

import sys

from gwres.mlproject import entry


def main(argv):
    """Parse and run."""
    from gwres import promotion
    from gwres.mlproject import options

    own = options.read(
        argv,
        __doc__,
        members=(str, "all"),
        metric=(str, "val/roc_auc"),
        experiment=(str, "own"),
        split_hash=(str, "any"),
        dry=(bool, False),
        rollback=(bool, False),
    )
    if own.pop("rollback"):
        promotion.rollback()
    else:
        promotion.promote(**own)


if __name__ == "__main__":
    entry.run("promote", main, sys.argv[1:])
