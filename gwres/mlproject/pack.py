"""Pack windows: `mlflow run . -e pack -P data=/data/g2net -P out=/data/packed`."""

import sys

from gwres.mlproject import entry


def main(argv):
    """Parse and run."""
    from gwres.jobs.pack import pack
    from gwres.mlproject import options

    own = options.read(
        argv,
        __doc__,
        data=(str, ""),
        out=(str, ""),
        psd_windows=(int, 2000),
        strict=(bool, True),
    )
    pack(**own)


if __name__ == "__main__":
    entry.run("pack", main, sys.argv[1:])
