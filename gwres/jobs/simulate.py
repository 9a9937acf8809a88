"""The job that writes a simulated data set in G2Net's layout."""

from pathlib import Path

from gwres.errors import InputError, within
from gwres.jobs.publish import publish
from gwres.pages import notes
from gwres.simulate import dataset
from gwres.simulate.population import population as population_of
from gwres.tracking import ui


def simulate(out, train, test, seed, population):
    """Write a data set, and say on the run's page what trains on it.

    Args:
        out: folder to write to; new, empty, or begun by the same call before.
        train: how many windows with labels.
        test: how many without.
        seed: of everything drawn.
        population: name of that of the signals.

    Raises:
        InputError: no such population, a number out of range, or a folder that holds
            something else.
    """
    if not out:
        raise InputError("out must be the folder to write to; received none")
    for name, value in (("train", train), ("test", test), ("seed", seed)):
        within(name, value, 0, 2**31 - 1)
    dataset.write(out, population_of(population), train, test, seed)
    folder = Path(out).resolve()
    again = ui.command("main", data=str(folder))
    publish(lambda place: notes.simulated(folder, population, (train, test), again))
