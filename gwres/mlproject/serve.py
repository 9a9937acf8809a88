"""Answer requests: `mlflow run . -e serve -P model=gwres-ensemble@champion`."""

import sys

from gwres.mlproject import entry


def main(argv):
    """Parse and run."""
    from gwres.jobs.serve import serve
    from gwres.mlproject import options

    own = options.read(
        argv,
        __doc__,
        model=(str, "gwres-ensemble@champion"),
        host=(str, "127.0.0.1"),
        port=(int, 5001),
        timeout=(float, 60.0),
    )
    serve(**own)


if __name__ == "__main__":
    entry.run("serve", main, sys.argv[1:])
