"""Windows that nobody has labelled: test files of a G2Net folder, or rows of Parquet.

Both are read part by part, so that memory does not grow with their number. What cannot
be read is told with its reason, and the rest goes on.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gwres.data import g2net
from gwres.engine.work import seen
from gwres.errors import InputError
from gwres.strain import ASD_SHAPE, SHAPE, check, check_asds

ID, STRAIN, ASD = "id", "strain", "asd"
LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


@dataclass(frozen=True)
class Part:
    """Some windows, in order.

    Args:
        start: number of the first.
        ids: of the windows.
        read: function of numbers (first, stop) within the part, which can be sent to
            a worker. It gives a list of strain, float64 (3, 4096), of the windows that
            can be read; a list of their ASDs, (3, 513), or None; and a reason for each
            window, "" if it can be read.
    """

    start: int
    ids: list
    read: object


class Files:
    """The files of a G2Net folder's test/, by the ids of its sample_submission.csv.

    Args:
        root: the folder, which workers on other machines must see too.

    Raises:
        InputError: what `g2net.submission` refuses, or there is no test/.
    """

    def __init__(self, root):
        self.ids = g2net.submission(root)
        self.folder = Path(root) / "test"
        if not self.folder.is_dir():
            raise InputError(f"{root}: expected a folder test/; there is none")
        self.key = str(Path(root).resolve())

    def parts(self, size):
        """`Part`s of so many windows."""
        for start in range(0, len(self.ids), size):
            ids = self.ids[start : start + size]
            yield Part(start, ids, partial(_files, self.folder, ids))

    def __str__(self):
        return str(self.folder)


def _files(folder, ids, first, stop):
    windows, reasons = [], []
    seen(folder)
    for name in ids[first:stop]:
        try:
            window = g2net.read(g2net.locate(folder, name))
            windows.append(window.astype(np.float64))
            reasons.append("")
        except (InputError, OSError) as error:
            reasons.append(str(error))
    return windows, None, reasons


class Rows:
    """The rows of a Parquet file, as `client.parquet` writes them, with ids.

    Its columns are id, text; strain, flat lists of 12,288 numbers; and, where it is
    known, asd, flat lists of 1,539; see `Scorer.rows`.

    Args:
        path: of the file.

    Raises:
        InputError: no such file, other columns, no rows, or ids that are missing or
            come twice.
    """

    def __init__(self, path):
        self.path = Path(path)
        with self._opened() as file:
            self.columns = _columns(file.schema_arrow, path)
            ids = file.read([ID]).column(0)
        self.ids = ids.to_pylist()
        if not self.ids or ids.null_count or len(set(self.ids)) < len(self.ids):
            raise InputError(
                f"{path}: expected a row or more, each with an id of its own; received "
                f"{len(self.ids):,} rows, {ids.null_count:,} without an id and "
                f"{len(set(self.ids)):,} different ids"
            )
        status = self.path.stat()
        self.key = [str(self.path.resolve()), status.st_size, status.st_mtime_ns]

    def _opened(self):
        try:
            # Read as it is wanted: else all of a column is read ahead.
            return pq.ParquetFile(self.path, pre_buffer=False)
        except FileNotFoundError:
            raise InputError(f"{self.path}: no such file") from None
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{self.path}: expected Parquet: {error}") from None

    def parts(self, size):
        """`Part`s of so many windows at the most, which hold what they read."""
        start = 0
        with self._opened() as file:
            batches = file.iter_batches(size, columns=self.columns, use_threads=False)
            while True:
                try:
                    batch = next(batches, None)
                except (pa.ArrowException, OSError) as error:
                    raise InputError(
                        f"{self.path}: rows from {start:,} on cannot be read: {error}"
                    ) from None
                if batch is None:
                    return
                ids = self.ids[start : start + len(batch)]
                yield Part(start, ids, partial(_rows, ids, batch))
                start += len(batch)

    def __str__(self):
        return str(self.path)


def _columns(schema, path):
    """The columns of strain, and of ASDs if there are any."""
    kinds = dict(zip(schema.names, schema.types))
    columns = [name for name in (STRAIN, ASD) if name in kinds]
    for name in columns:
        kind = kinds[name]
        if not any(one(kind) for one in LISTS) or not pa.types.is_floating(
            kind.value_type
        ):
            raise InputError(
                f"{path}: {name} must hold flat lists of numbers; received {kind}"
            )
    texts = pa.types.is_string, pa.types.is_large_string
    if STRAIN not in columns or not any(one(kinds.get(ID, pa.null())) for one in texts):
        held = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        raise InputError(
            f"{path}: expected the columns {ID}, text, and {STRAIN}, lists of "
            f"{np.prod(SHAPE):,} numbers; received {held}"
        )
    return columns


def _rows(ids, batch, first, stop):
    windows, asds, reasons = [], [] if ASD in batch.schema.names else None, []
    for number in range(first, stop):
        try:
            window = _array(batch.column(STRAIN)[number], SHAPE, STRAIN)
            check(window, STRAIN)
            if asds is not None:
                asd = _array(batch.column(ASD)[number], ASD_SHAPE, ASD)
                check_asds(asd[None], window.any(axis=1)[None])
                asds.append(asd)
            windows.append(window)
            reasons.append("")
        except InputError as error:
            reasons.append(f"{ids[number]}: {error}")
    return windows, asds, reasons


def _array(value, shape, name):
    """A list of Parquet as float64 of a shape."""
    flat = [] if value.values is None else value.values
    if len(flat) != np.prod(shape):
        raise InputError(
            f"{name}: expected {np.prod(shape):,} numbers, received {len(flat):,}"
        )
    # A gap becomes NaN, which is refused.
    return flat.to_numpy(zero_copy_only=False).astype(np.float64).reshape(shape)


def opened(data):
    """The windows of a folder, or of a file.

    Args:
        data: path of a G2Net folder, or of a Parquet file.

    Returns:
        `Files` or `Rows`.

    Raises:
        InputError: what they refuse.
    """
    return Rows(data) if Path(data).is_file() else Files(data)
