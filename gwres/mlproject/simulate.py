"""Write a simulated data set: `mlflow run . -e simulate -P out=/data/simulated`."""

import sys

from gwres.mlproject import entry


def main(argv):
    """Parse and run."""
    from gwres.jobs.simulate import simulate
    from gwres.mlproject import options

    own = options.read(
        argv,
        __doc__,
        out=(str, ""),
        train=(int, 20_000),
        test=(int, 2_000),
        seed=(int, 0),
        population=(str, "g2net"),
    )
    simulate(**own)


if __name__ == "__main__":
    entry.run("simulate", main, sys.argv[1:])
