"""Write a simulated data set: `mlflow run . -e simulate -P out=/data/simulated`."""

import sys

from gwres.mlproject import entry


def main(argv):
    """Parse and run."""
    from pathlib import Path

    from gwres import closing, notes, tracking
    from gwres.errors import InputError, within
    from gwres.mlproject import options
    from gwres.simulate import dataset
    from gwres.simulate.population import population

    own = options.read(
        argv,
        __doc__,
        out=(str, None),
        train=(int, 20_000),
        test=(int, 2_000),
        seed=(int, 0),
        population=(str, "g2net"),
    )
    if not own["out"]:
        raise InputError("out must be the folder to write to; received none")
    for name in ("train", "test", "seed"):
        within(name, own[name], 0, 2**31 - 1)
    drawn = population(own["population"])
    counts = own["train"], own["test"]
    dataset.write(own["out"], drawn, *counts, own["seed"])
    folder = Path(own["out"]).resolve()
    again = closing.command("main", data=str(folder))
    text = notes.simulated(folder, own["population"], counts, again)
    tracking.described(text)


if __name__ == "__main__":
    entry.run("simulate", main, sys.argv[1:])
