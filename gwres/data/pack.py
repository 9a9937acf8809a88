"""Windows in a few large files, so that an epoch does not read a tree of small ones.

Whitened windows of a G2Net folder are packed into the cache when a training first needs
them. `write` packs all that a training needs into a folder of its own, which then is
`data` like a G2Net folder. Either is a folder of shards, .npy files of `SHARD` windows
with a digest of each window beside them, and of `MANIFEST`, which is written last and
lists the digests' own: without it nothing is read.
"""

import json
import logging
import os
import shutil
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock

from gwres import cache, proof
from gwres.engine.work import each
from gwres.errors import InputError
from gwres.layers.whiten import Whiten, fingerprint
from gwres.progress import progress
from gwres.proof import Damaged
from gwres.strain import DETECTORS, SHAPE, WHITENED_SAMPLES

logger = logging.getLogger(__name__)
MANIFEST = "manifest.json"
BEGUN = "begun.json"  # what a folder is to hold, from the beginning
SHARD = 8192  # windows in a file: 100 MB whitened, 400 MB of strain
CHUNK = 128  # windows that a worker reads and whitens at a time
WHITENED = WHITENED_SAMPLES, len(DETECTORS)
STRAIN = "strain-"  # before the name of a split whose strain is packed
LAYOUT = 2


def whitened(chunks, asd):
    """Whiten windows chunk by chunk, as the model itself does.

    Args:
        chunks: iterable of (strain (n, 3, 4096), ASDs as `Whiten` takes them or None).
        asd: as `whiten.fit_asd` gives it.

    Yields:
        float16 (n, 2048, 3). Noise has unit variance and no sample is above 100, so
        half precision keeps three digits, a thousandth of the noise.
    """
    layer = _layer(np.asarray(asd, np.float64).tobytes())
    for strain, known in chunks:
        white = layer(strain.astype(np.float32), asd=known)
        yield np.asarray(white).astype(np.float16)


@lru_cache(1)
def _layer(asd):
    layer = Whiten()
    layer.fit(np.frombuffer(asd).reshape(len(DETECTORS), -1))
    return layer


@dataclass(frozen=True)
class _Part:
    """What a folder is to hold of one kind.

    Args:
        windows: a `corpus.Windows`.
        asd: to whiten them with, as `whiten.fit_asd` gives it; None keeps the strain.
    """

    windows: object
    asd: np.ndarray | None

    @property
    def row(self):
        """Shape and dtype of a window."""
        return (SHAPE, "<f4") if self.asd is None else (WHITENED, "<f2")

    def jobs(self, starts):
        """A job for each chunk of the shards that begin there."""
        windows, count = self.windows, len(self.windows)
        for shard in starts:
            for start in range(shard, min(shard + SHARD, count), CHUNK):
                span = start, min(start + CHUNK, shard + SHARD, count)
                known = windows.known and windows.known.cut(*span)
                yield windows.name, span, windows.read.cut(*span), known, self.asd


def _made(job):
    """The windows of a job of `_Part.jobs`: float16 if whitened, else float32."""
    _, (start, stop), read, known, asd = job
    whole = 0, stop - start
    strain = read(*whole)
    if asd is None:
        return strain.astype(np.float32)
    return next(whitened([(strain, known and known(*whole))], asd))


def _called(job):
    name, (start, stop), *_ = job
    return f"windows {start} to {stop - 1} of {name}"


class Packed:
    """Windows of a packed folder, by rows; each is checked whenever it is read.

    Args:
        folder: Path of the folder.
        part: name of the windows in it.
        names: their ids, for what is told of one.
        make: function without arguments that makes again what the folder lacks; without
            it, what is damaged is an error.

    Attributes:
        shape: of all windows together.

    Raises:
        Damaged: it is not packed to its end, or not as it was written.
    """

    def __init__(self, folder, part, names, make=None):
        self.folder, self.part, self.make = folder, part, make
        self.names = names
        self._open()

    def _open(self):
        told = proof.opened(self.folder / MANIFEST)["parts"][self.part]
        self.shape = told["count"], *told["shape"]
        self.dtype = np.dtype(told["dtype"])
        self.shards = []
        for name, expected in told["digests"].items():
            path = self.folder / name
            proof.check(proof.beside(path), expected)
            self.shards.append(proof.Rows(path))
        # Each shard's first row, and the number of all.
        self.starts = np.cumsum([0, *map(len, self.shards)])
        if not self.starts[-1] == len(self) == len(self.names):
            raise Damaged(
                f"{self.folder}: expected {len(self.names)} windows in {self.part}, "
                f"found {self.starts[-1]}"
            )

    def __len__(self):
        """Number of windows."""
        return self.shape[0]

    def __getitem__(self, rows):
        """Read windows.

        Args:
            rows: a slice, or an integer array.

        Returns:
            Array of them.

        Raises:
            Damaged: one is not as it was written, and cannot be made again.
        """
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        try:
            return self._read(rows)
        except Damaged as error:
            if not self.make:
                raise
            logger.warning("%s; its file is packed again", error)
            self.make()
            self._open()
            return self._read(rows)

    def _read(self, rows):
        made = np.empty((len(rows), *self.shape[1:]), self.dtype)
        shard = np.searchsorted(self.starts, rows, "right") - 1
        for number in np.unique(shard):
            places, start = np.flatnonzero(shard == number), self.starts[number]
            try:
                self.shards[number].read_into(made, places, rows[places] - start)
            except Damaged as error:
                name = self.names[start + error.row]
                raise Damaged(f"{error}; it is window {name}") from None
        return made


def pack(windows, asd, made_from):
    """Whitened windows, in the cache.

    Args:
        windows: a `corpus.Windows`, whose `read` and `known` workers can be given a
            part of: see `corpus.Files`.
        asd: as `whiten.fit_asd` gives it.
        made_from: JSON-able key of the windows.

    Returns:
        `Packed`, float16 (n, 2048, 3), in the windows' order.
    """
    key = {"windows": made_from, "asd": fingerprint(asd), "layout": LAYOUT}
    folder = cache.root() / "pack" / cache.digest(key)
    parts = {windows.name: _Part(windows, asd)}

    def make():
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(f"{folder}.lock"):
                _fill(folder, key, parts)
        except InputError:
            # With a file that is put right the key is another.
            cache.discard(folder)
            raise

    given = folder, windows.name, windows.table["id"].tolist(), make
    try:
        return Packed(*given)
    except Damaged as error:
        if folder.is_dir():
            logger.warning("%s; what is missing is packed", error)
    make()
    return Packed(*given)


def _fill(folder, key, parts, about=None):
    """Write the shards that a folder lacks, then its manifest.

    Args:
        folder: Path.
        key: JSON-able: all that the shards depend on.
        parts: dict of name to `_Part`.
        about: function that writes further files into the folder, and gives their names
            and a dict for the manifest.

    Raises:
        InputError: the folder holds something else, or a window cannot be read.
    """
    _begin(folder, key)
    told = {}
    for name, part in parts.items():
        shape, dtype = part.row
        made = _shards(folder / name, part, shape, dtype)
        digests = {f"{name}/{path.name}": proof.of(proof.beside(path)) for path in made}
        told[name] = {"count": len(part.windows), "shape": shape, "dtype": dtype}
        told[name]["digests"] = digests
    record = {"key": key, "parts": told}
    if about:
        names, more = about()
        record |= more | {"files": {name: proof.of(folder / name) for name in names}}
    with cache.replacing(folder / MANIFEST) as scratch:
        scratch.write_text(proof.sealed(record))


def _begin(folder, key):
    """Make a folder for what the key describes, or go on with it."""
    key, stamp = json.loads(json.dumps(key)), folder / BEGUN
    if stamp.is_file():
        present = json.loads(stamp.read_text())
        if present != key:
            raise InputError(
                f"{folder} holds another pack: expected {key}, found {present}"
            )
    elif folder.is_dir() and any(
        # A killed process may leave a half-written stamp, which does no harm.
        not path.name.startswith(f".{BEGUN}-")
        for path in folder.iterdir()
    ):
        raise InputError(f"{folder} must be new or empty to pack into")
    folder.mkdir(parents=True, exist_ok=True)
    # While there is no manifest, the folder is not read.
    (folder / MANIFEST).unlink(missing_ok=True)
    for leftover in folder.rglob(".*-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    if not stamp.is_file():
        with cache.replacing(stamp) as scratch:
            scratch.write_text(json.dumps(key, indent=1))


def _shards(folder, part, shape, dtype):
    """Write the shards of a part that are not there and whole; paths of all."""
    folder.mkdir(exist_ok=True)
    count = len(part.windows)
    paths = {
        start: folder / f"{number:05d}.npy"
        for number, start in enumerate(range(0, count, SHARD))
    }
    missing = [start for start, path in paths.items() if not _whole(path)]
    sizes = [min(SHARD, count - start) for start in missing]
    jobs = part.jobs(missing)
    # For one file, processes would take longer to start than to work.
    made = each(_made, jobs, _called) if len(missing) > 1 else map(_made, jobs)
    counted = ((len(chunk), chunk) for chunk in made)
    chunks = iter(progress(counted, sum(sizes), f"pack {folder.name}"))
    for start, size in zip(missing, sizes):
        path = paths[start]
        with cache.replacing(path) as scratch:
            with proof.writing_rows(scratch, dtype, (size, *shape)) as append:
                for chunk in islice(chunks, -(-size // CHUNK)):
                    append(chunk)
            # The file comes last: where it is, it is whole.
            os.replace(proof.beside(scratch), proof.beside(path))
    # To its end, where the workers leave.
    next(chunks, None)
    return list(paths.values())


def _whole(path):
    """Whether a shard is there, and as it was written."""
    if not path.is_file():
        return False
    try:
        proof.Rows(path).verify()
    except Damaged as error:
        logger.warning("%s; it is packed again", error)
        return False
    return True


def write(out, corpus, more):
    """Pack all that a training needs of a folder into a folder of its own.

    Killed, the same call goes on after the last file that is complete.

    Args:
        out: the folder; new, empty, or begun by the same call before.
        corpus: a `corpus.Corpus` of a G2Net folder.
        more: JSON-able dict that `read` gives back, which the folder depends on.

    Raises:
        InputError: `out` holds something else, or a window cannot be read.
    """
    out = Path(out)
    fixed = {"split_hash": corpus.split_hash, "name": corpus.name} | more
    key = {"asd": fingerprint(corpus.asd), "layout": LAYOUT} | fixed
    whitened = {"train": corpus.train, "validation": corpus.judged["validation"]}
    parts = {name: _Part(windows, corpus.asd) for name, windows in whitened.items()}
    for name, windows in corpus.judged.items():
        parts[f"{STRAIN}{name}"] = _Part(windows, None)

    def about():
        tables = [corpus.train.table, *(one.table for one in corpus.judged.values())]
        np.save(out / "asd.npy", corpus.asd)
        table = pd.concat(tables, ignore_index=True)
        table.to_parquet(out / "windows.parquet", index=False)
        return ("asd.npy", "windows.parquet"), fixed

    with cache.lock("pack", str(out.resolve())):
        _fill(out, key, parts, about)


def begun(folder):
    """Whether a folder is one of `write`, or will be when that is finished."""
    return any((Path(folder) / name).is_file() for name in (BEGUN, MANIFEST))


def read(folder):
    """Read a folder that `write` wrote; its windows when they are needed.

    Returns:
        (dict of `more` and of name and split_hash; DataFrame of all windows as
        `corpus.Windows` has it; ASD (3, 2049); function of a part's name to `Packed`).

    Raises:
        InputError: it is not finished, or not as it was written.
    """
    folder = Path(folder)
    if not (folder / MANIFEST).is_file():
        raise InputError(f"{folder} is not packed to its end: run pack once more")
    told = proof.opened(folder / MANIFEST)
    for name, expected in told["files"].items():
        proof.check(folder / name, expected)
    table = pd.read_parquet(folder / "windows.parquet")
    asd = np.load(folder / "asd.npy", allow_pickle=False)

    def packed(part):
        split = part.removeprefix(STRAIN)
        names = table.loc[table["split"] == split, "id"].tolist()
        return Packed(folder, part, names)

    return told, table, asd, packed
