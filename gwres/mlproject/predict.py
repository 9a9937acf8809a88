"""Score windows without labels: `mlflow run . -e predict -P data=/data/g2net`."""

import sys

from gwres.mlproject import entry


def main(argv):
    """Parse and run."""
    from gwres.errors import InputError
    from gwres.jobs.predict import predict
    from gwres.mlproject import options

    own = options.read(
        argv,
        __doc__,
        data=(str, ""),
        model=(str, "gwres-ensemble@champion"),
        out=(str, "submission.csv"),
    )
    if not own["data"]:
        raise InputError("data must be a G2Net folder or a Parquet file; received none")
    predict(**own)


if __name__ == "__main__":
    entry.run("predict", main, sys.argv[1:])
