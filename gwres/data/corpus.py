"""Data of a training run: batches to learn from, windows to be judged on."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
import pandas as pd

from gwres import cache as caches
from gwres.data import g2net, pack, pipeline
from gwres.data.moments import Moments, moments
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
        read: function of (start, stop) to float strain (stop - start, 3, 4096), such as
            `Files` or `Cached`.
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
class Files:
    """Reads strain of files, one for each window.

    Args:
        window: function of an id to strain (3, 4096), which a worker can be given.
        names: ids of the windows, a list.
    """

    window: Callable
    names: list

    def __call__(self, start, stop):
        """Strain of windows (stop - start, 3, 4096)."""
        return np.stack([self.window(name) for name in self.names[start:stop]])

    def cut(self, start, stop):
        """The same for some of the windows, counted from 0 again."""
        return replace(self, names=self.names[start:stop])


@dataclass(frozen=True)
class Cached:
    """Reads rows of a cached file, each checked; see `cache.rows`.

    Args:
        find: function without arguments to the folder, which a worker can be given.
        file: its name.
        first: the row that is counted as 0.
    """

    find: Callable
    file: str
    first: int = 0

    def __call__(self, start, stop):
        """Rows, an array."""
        chosen = slice(self.first + start, self.first + stop)
        return caches.rows(self.find, self.file, chosen)

    def cut(self, start, stop):
        """The same for some of the rows, counted from 0 again."""
        return replace(self, first=self.first + start)


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
        train: the training windows as files, or None.
        packed: function of a part's name to `pack.Packed`, where they are packed; None
            packs them into the cache.
    """

    asd: np.ndarray
    batches: Callable
    judged: dict[str, Windows]
    split_hash: str
    name: str
    size: int | None
    filters: Callable
    train: Windows | None = None
    packed: Callable | None = None

    def validation(self):
        """Whitened validation windows.

        Returns:
            (float16 (n, 2048, 3), a `pack.Packed`; labels (n,)).
        """
        windows = self.judged["validation"]
        if self.packed:
            white = self.packed("validation")
        else:
            white = pack.pack(windows, self.asd, windows.key)
        return white, windows.table["label"].to_numpy()


def open_corpus(data):
    """Open the data: read the folder, or simulate what is not in the cache.

    Args:
        data: a `settings.Data`.

    Raises:
        InputError: see `g2net.folder` and `pack.read`.
    """
    if data.source == SIMULATED:
        return _simulated(data)
    return _packed(data) if pack.begun(data.source) else _files(data)


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
    find = partial(dataset.cached_windows, source, count)
    table = pd.read_parquet(find() / "truth.parquet")
    table = table.rename(columns={"target": "label"})
    read = Cached(find, "strain.npy")
    known = Cached(find, "asd.npy") if noise.real else None
    columns = ["id", "split", "label", "network_snr", *PARAMETERS]
    if noise.real:
        columns += [*GLITCHES, *GLITCH_SNRS]
    key = {"simulated": signals.key, "seed": JUDGED_SEED, "split": name}
    key |= {"count": count} | noise.described()
    return Windows(name, table[columns], read, key, known)


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
        packed = pack.pack(train, asd, train.key)
        labels = train.table["label"].to_numpy()
        return pipeline.packed(packed, labels, live, seed, steps, first)

    fingerprint = split_hash(files.table)
    name = f"folder-{files.digest()}"
    made = partial(filters, population(data.population), asd)
    count = len(train.table)
    return Corpus(asd, batches, parts, fingerprint, name, count, made, train)


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
    # Without the table a worker is sent the names of its windows alone.
    window = replace(files, table=files.table[:0]).window
    read = Files(window, table["id"].tolist())
    return Windows(name, table, read, {"folder": files.digest(), "split": name})


def _packed(data):
    told, table, asd, packed = pack.read(data.source)
    if told["psd_windows"] != data.psd_windows:
        raise InputError(
            f"{data.source} was packed with psd_windows={told['psd_windows']}; "
            f"received {data.psd_windows}"
        )

    def part(name):
        rows = table[table["split"] == name].reset_index(drop=True)
        strain = packed(f"{pack.STRAIN}{name}")
        key = {"folder": told["name"].removeprefix("folder-"), "split": name}
        return Windows(name, rows, lambda start, stop: strain[start:stop], key)

    labels = table.loc[table["split"] == "train", "label"].to_numpy()

    def batches(live, seed, steps, first=0):
        return pipeline.packed(packed("train"), labels, live, seed, steps, first)

    return Corpus(
        asd,
        batches,
        {name: part(name) for name in JUDGED},
        told["split_hash"],
        told["name"],
        len(labels),
        partial(filters, population(data.population), asd),
        packed=packed,
    )
