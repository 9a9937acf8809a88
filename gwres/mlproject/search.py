"""Search recorded strain: `mlflow run . -e search -P strain=H1.hdf5,L1.hdf5`."""

import sys

from gwres.mlproject import entry


def main(argv):
    """Parse and run."""
    from dataclasses import fields

    from gwres.jobs.search import Search, search
    from gwres.mlproject import options

    own = {one.name: (one.type, one.default) for one in fields(Search)}
    given = options.read(argv, __doc__, **own)
    # `mlflow run` has no empty defaults.
    none = {name: "" for name, value in given.items() if value == "none"}
    return search(Search(**given | none))


if __name__ == "__main__":
    entry.run("search", main, sys.argv[1:])
