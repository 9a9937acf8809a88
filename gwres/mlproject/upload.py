"""Send what earlier runs could not log: `mlflow run . -e upload`."""

import sys

from gwres.mlproject import entry


def main(argv):
    """Parse and run."""
    from gwres.mlproject import options
    from gwres.tracking import outbox

    options.read(argv, __doc__)
    outbox.upload()


if __name__ == "__main__":
    entry.run("upload", main, sys.argv[1:])
