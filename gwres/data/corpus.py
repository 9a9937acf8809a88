"""Data of a training run: batches to learn from, windows to be judged on."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import pandas as pd

from gwres.data import g2net, pipeline
from gwres.data.moments import Moments, moments
from gwres.data.pack import pack
from gwres.data.settings import SIMULATED
from gwres.data.split import ENOUGH, SPLITS, split_hash
from gwres.errors import InputError
from gwres.layers.whiten import fit_asd, refined
from gwres.matched.design import filters
from gwres.simulate import dataset, waveforms
from gwres.simulate.glitches import GLITCH_SNRS, GLITCHES
from gwres.simulate.noise import GAUSSIAN, named, states
from gwres.simulate.noise import noise as noise_windows
from gwres.simulate.population import PARAMETERS, population
from gwres.strain import SHAPE

logger = logging.getLogger(__name__)
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
        known: function of (start, stop) to ASDs (stop - start, 3, 513), as
            `whiten.refined` takes them; None where nothing is known of the moment.
    """

    name: str
    table: pd.DataFrame
    read: Callable
    key: object
    known: Callable | None = None

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

    def asds(self, rows):
        """ASDs of a slice of rows, or None."""
        start, stop, _ = rows.indices(len(self))
        return self.known(start, stop) if self.known else None

    def chunks(self, size):
        """Strain and ASDs, or None, in the table's order, `size` windows at a time."""
        for start in range(0, len(self), size):
            rows = slice(start, start + size)
            yield self[rows], self.asds(rows)


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
    signals, noise = population(data.population), named(data.noise)
    judged = {
        name: judged_windows(signals, name, data.judged, noise) for name in JUDGED
    }
    asd = fitted_asd(data.psd_windows, noise)

    # The bank is for training alone, so it is made when training begins.
    @cache
    def bank():
        folder = waveforms.bank(signals, data.bank, BANK_SEED, noise)
        return pipeline.Bank.load(folder)

    @cache
    def drawn():
        return Moments.load(moments(BANK_SEED, signals.segment)) if noise.real else None

    def batches(live, seed, steps, first=0):
        return pipeline.live(bank(), signals, asd, live, seed, steps, first, drawn())

    rows = pd.concat([windows.table for windows in judged.values()])
    of = split_hash(rows, f"{data.population} {data.noise}")
    made = partial(filters, signals, asd, consistent=noise.real)
    return Corpus(asd, batches, judged, of, f"simulated-{data.name}-{of}", None, made)


def fitted_asd(count, noise=GAUSSIAN):
    """ASD of simulated noise, as `whiten.fit_asd` gives it.

    Args:
        count: number of windows to fit Gaussian noise's on.
        noise: a `Noise`. Where it is `real`, it is the geometric mean of what is known
            of the moments that training draws from, which no glitch moves.
    """
    if noise.real:
        logs = np.log(states(BANK_SEED).estimate).mean(axis=1, keepdims=True)
        return np.asarray(refined(np.exp(logs).swapaxes(0, 1)))[0].astype(float)
    rng = np.random.default_rng(PSD_SEED)
    return fit_asd(noise_windows(rng, 1)[0] for _ in range(count))


def judged_windows(signals, name, count, noise=GAUSSIAN):
    """Simulated windows of one split to judge on, made once and cached.

    Args:
        signals: a `Population`.
        name: name of the split.
        count: number of windows.
        noise: a `Noise`.

    Returns:
        `Windows`.
    """
    source = dataset.Source(signals, JUDGED_SEED, name, noise)
    folder = dataset.cached_windows(source, count)
    table = pd.read_parquet(folder / "truth.parquet")
    table = table.rename(columns={"target": "label"})

    def read(start, stop):
        # An open memory map would keep in memory every page it has read.
        return np.load(folder / "strain.npy", mmap_mode="r")[start:stop].copy()

    def known(start, stop):
        return np.load(folder / "asd.npy", mmap_mode="r")[start:stop].copy()

    columns = ["id", "split", "label", "network_snr", *PARAMETERS]
    if noise.real:
        columns += [*GLITCHES, *GLITCH_SNRS]
    key = {"simulated": signals.key, "seed": JUDGED_SEED, "split": name}
    key |= {"count": count} | noise.described()
    return Windows(name, table[columns], read, key, known if noise.real else None)


def _files(data):
    files = g2net.folder(data.source, data.strict)
    parts = {name: _part(files, name) for name in SPLITS}
    train = parts.pop("train")
    poor = [name for name in parts if parts[name].table["label"].nunique() < 2]
    if poor:
        logger.warning(
            "%s: %s of %d windows lack one label, so nothing is ranked there: that "
            "takes some %d windows in all",
            files.root,
            ", ".join(f"{name} ({len(parts[name])})" for name in poor),
            len(files.table),
            ENOUGH,
        )
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


def _truth(path):
    """What `simulate` wrote of a folder's signals."""
    columns = ["id", "network_snr", *PARAMETERS]
    try:
        return pd.read_parquet(path)[columns]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path}: expected a table in Parquet of {', '.join(columns)}; {error}: "
            "remove it to go on without"
        ) from None


def _part(files, name):
    table = files.table[files.table["split"] == name].reset_index(drop=True)
    table = table[["id", "split", "label"]].assign(network_snr=np.nan)
    path = files.root / "truth.parquet"
    if path.is_file():  # a simulated folder, whose SNRs and parameters are known
        truth = _truth(path)
        table = table.drop(columns="network_snr").merge(truth, on="id", how="left")

    def read(start, stop):
        return np.stack([files.window(name) for name in table["id"][start:stop]])

    return Windows(name, table, read, {"folder": files.digest(), "split": name})
