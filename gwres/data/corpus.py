"""Data of a training run: batches to learn from, windows to be judged on."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import pandas as pd

from gwres.data import g2net, pipeline
from gwres.data.pack import pack
from gwres.data.settings import SIMULATED
from gwres.data.split import SPLITS, split_hash
from gwres.layers.whiten import fit_asd
from gwres.matched.design import filters
from gwres.simulate import dataset, waveforms
from gwres.simulate.noise import noise
from gwres.simulate.population import PARAMETERS, population
from gwres.strain import SHAPE

JUDGED = tuple(name for name in SPLITS if name != "train")
# Seeds of the bank, the judged windows and the PSD: the same in every run.
BANK_SEED, JUDGED_SEED, PSD_SEED = 11, 12, 13


@dataclass(frozen=True)
class Windows:
    """Windows of one split, read from disk when needed.

    Args:
        name: name of the split.
        table: DataFrame of columns id, split, label, network_snr (NaN for noise and
            where unknown) and, where known, the signals' parameters.
        read: function of (start, stop) to float strain (stop - start, 3, 4096).
        key: JSON-able fingerprint of the windows, for caches.
    """

    name: str
    table: pd.DataFrame
    read: Callable
    key: object

    @property
    def shape(self):
        """(n, 3, 4096), as an array's."""
        return len(self.table), *SHAPE

    def __len__(self):
        """Number of windows."""
        return len(self.table)

    def __getitem__(self, rows):
        """Strain of a slice of rows, as an array's."""
        start, stop, _ = rows.indices(len(self))
        return self.read(start, stop)

    def chunks(self, size):
        """Strain in the table's order, `size` windows at a time."""
        for start in range(0, len(self), size):
            yield self[start : start + size]


@dataclass(frozen=True)
class Corpus:
    """What a run trains on and is judged on.

    Args:
        asd: ASD of training windows with label 0, as `whiten.fit_asd` gives it.
        batches: function of (live, seed, steps, first) to a tf.data.Dataset of whitened
            windows and labels; see `pipeline`.
        judged: dict of a split's name to its `Windows`.
        split_hash: hash of all ids and their splits; see `split.split_hash`.
        name: name in studies and checkpoints; equal names mean equal data.
        size: number of training windows; None if they are simulated without end.
        filters: function without arguments to the `design.Filters` of the population.
    """

    asd: np.ndarray
    batches: Callable
    judged: dict[str, Windows]
    split_hash: str
    name: str
    size: int | None
    filters: Callable

    def validation(self):
        """Whitened validation windows.

        Returns:
            (float16 (n, 2048, 3), labels (n,)).
        """
        windows = self.judged["validation"]
        return pack(windows, self.asd, windows.key), windows.table["label"].to_numpy()


def open_corpus(data):
    """Open the data: read the folder, or simulate what is not in the cache.

    Args:
        data: a `settings.Data`.

    Raises:
        InputError: see `g2net.folder`.
    """
    if data.source == SIMULATED:
        return _simulated(data)
    return _files(data)


def _simulated(data):
    signals = population(data.population)
    judged = {name: judged_windows(signals, name, data.judged) for name in JUDGED}
    asd = fitted_asd(data.psd_windows)

    # The bank is for training alone, so it is made when training begins.
    @cache
    def bank():
        folder = waveforms.bank(signals, data.bank, BANK_SEED)
        return pipeline.Bank.load(folder)

    def batches(live, seed, steps, first=0):
        return pipeline.live(bank(), signals, asd, live, seed, steps, first)

    rows = pd.concat([windows.table for windows in judged.values()])
    name = f"simulated-{data.population}-{split_hash(rows)}"
    made = partial(filters, signals, asd)
    return Corpus(asd, batches, judged, split_hash(rows), name, None, made)


def fitted_asd(count):
    """ASD of simulated noise, as `whiten.fit_asd` gives it, from `count` windows."""
    rng = np.random.default_rng(PSD_SEED)
    return fit_asd(noise(rng, 1)[0] for _ in range(count))


def judged_windows(signals, name, count):
    """Simulated windows of one split to judge on, made once and cached.

    Args:
        signals: a `Population`.
        name: name of the split.
        count: number of windows.

    Returns:
        `Windows`.
    """
    source = dataset.Source(signals, JUDGED_SEED, name)
    folder = dataset.cached_windows(source, count)
    table = pd.read_parquet(folder / "truth.parquet")
    table = table.rename(columns={"target": "label"})

    def read(start, stop):
        # An open memory map would keep in memory every page it has read.
        return np.load(folder / "strain.npy", mmap_mode="r")[start:stop].copy()

    columns = ["id", "split", "label", "network_snr", *PARAMETERS]
    key = {"simulated": signals.key, "seed": JUDGED_SEED, "split": name}
    return Windows(name, table[columns], read, key | {"count": count})


def _files(data):
    files = g2net.folder(data.source, data.strict)
    parts = {name: _part(files, name) for name in SPLITS}
    train = parts.pop("train")
    quiet = train.table.index[train.table["label"] == 0][: data.psd_windows]
    asd = fit_asd(train.read(i, i + 1)[0] for i in quiet)

    def batches(live, seed, steps, first=0):
        packed = pack(train, asd, train.key)
        labels = train.table["label"].to_numpy()
        return pipeline.packed(packed, labels, live, seed, steps, first)

    fingerprint = split_hash(files.table)
    name = f"folder-{files.digest()}"
    made = partial(filters, population(data.population), asd)
    return Corpus(asd, batches, parts, fingerprint, name, len(train.table), made)


def _part(files, name):
    table = files.table[files.table["split"] == name].reset_index(drop=True)
    table = table[["id", "split", "label"]].assign(network_snr=np.nan)
    path = files.root / "truth.parquet"
    if path.is_file():  # a simulated folder, whose SNRs and parameters are known
        truth = pd.read_parquet(path)[["id", "network_snr", *PARAMETERS]]
        table = table.drop(columns="network_snr").merge(truth, on="id", how="left")

    def read(start, stop):
        return np.stack([files.window(name) for name in table["id"][start:stop]])

    return Windows(name, table, read, {"folder": files.digest(), "split": name})
