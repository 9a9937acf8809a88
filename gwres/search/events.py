"""Files of events: as the challenge MLGWSC-1 reads them, and as tables."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from gwres import cache
from gwres.errors import InputError

# Datasets of the file, each of shape (n,).
DATASETS = ("time", "stat", "var")


def write(path, table, half_width_s):
    """Write events as MLGWSC-1 has them, in one step; a file there is replaced.

    Args:
        path: of the file; the challenge's evaluation expects it to end in .hdf.
        table: DataFrame of columns time (GPS s) and statistic (the higher, the more
            like a signal), finite.
        half_width_s: half the length of the time around an event in which the merger
            is, s, above 0: one number or one for each event. An injection within it of
            an event counts as found.

    Raises:
        InputError: a missing column, a value that is not finite, a half-width that is
            not above 0, or another number of them.

    Source:
        Schäfer et al., Phys. Rev. D 107, 023021 (2023); its repository is
        gwastro/ml-mock-data-challenge-1.
    """
    if any(name not in table for name in ("time", "statistic")):
        raise InputError(
            "events need the columns time and statistic; received "
            f"{', '.join(map(str, table.columns))}"
        )
    if np.ndim(half_width_s) == 0:
        half_width_s = np.full(len(table), half_width_s)
    columns = table["time"], table["statistic"], half_width_s
    held = {
        name: np.asarray(column, dtype=float) for name, column in zip(DATASETS, columns)
    }
    _check(held, path)
    with cache.replacing(path) as scratch, h5py.File(scratch, "w") as file:
        for name, values in held.items():
            file[name] = values


def read(path):
    """Read events that `write`, or another search of the challenge, has written.

    Returns:
        DataFrame of columns time, statistic and half_width_s.

    Raises:
        InputError: no such file, not HDF5, a dataset that is missing or of another
            length, or a value that `write` would refuse.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file")
    try:
        with h5py.File(path) as file:
            held = {name: np.asarray(file[name], dtype=float) for name in DATASETS}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: expected an HDF5 file of {', '.join(DATASETS)}; received {error}"
        ) from None
    _check(held, path)
    return pd.DataFrame(dict(zip(("time", "statistic", "half_width_s"), held.values())))


def write_tables(folder, table):
    """Write `candidates.csv` and `candidates.parquet`, each in one step.

    Args:
        folder: made where there is none.
        table: DataFrame. Numbers in the CSV are as long as it takes to read the same
            ones again.
    """
    with cache.replacing(Path(folder) / "candidates.csv") as scratch:
        table.to_csv(scratch, index=False)
    with cache.replacing(Path(folder) / "candidates.parquet") as scratch:
        table.to_parquet(scratch, index=False)


def _check(held, path):
    shapes = {name: values.shape for name, values in held.items()}
    if len(set(shapes.values())) > 1 or held["time"].ndim != 1:
        told = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise InputError(f"{path}: expected three of one length; received {told}")
    for name, values in held.items():
        bad = ~np.isfinite(values)
        if name == "var":
            bad |= values <= 0
        if bad.any():
            wanted = "finite and above 0" if name == "var" else "finite"
            raise InputError(
                f"{path}: {name} must be {wanted}; received {values[bad][0]}"
            )
