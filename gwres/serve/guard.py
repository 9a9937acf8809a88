"""What a server of strain takes: limits on a request, and its body as an array."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic_core import from_json

from gwres.strain import SHAPE

# One request's windows; as float64 in Parquet they are 101 MB, as JSON a third fits.
WINDOWS = 1024
BYTES = 128 * 2**20
JSON, PARQUET = "application/json", "application/vnd.apache.parquet"
NAMES = ("inputs", "instances")  # of the array in JSON, as MLflow's server has them
LENGTH = SHAPE[0] * SHAPE[1]  # numbers of a window


class Refused(Exception):
    """A request that is not answered.

    Args:
        status: of the answer.
        message: what was expected and what was received.
    """

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def check_headers(headers):
    """Refuse a request by its headers alone.

    Args:
        headers: mapping of lower-case name to text.

    Returns:
        The content type, `JSON` or `PARQUET`.

    Raises:
        Refused: another content type (415), no length (411), a length that is no
            number (400) or above `BYTES` (413).
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (JSON, PARQUET):
        raise Refused(
            415,
            f"expected a Content-Type {JSON} or {PARQUET}; received {kind or 'none'}",
        )
    length = headers.get("content-length")
    if length is None:
        raise Refused(411, "expected a header Content-Length; received none")
    if not length.isdecimal():
        raise Refused(
            400, f"expected a whole number as Content-Length; received {length}"
        )
    check_size(int(length))
    return kind


def check_size(size):
    """Refuse a body of more than `BYTES`."""
    if size > BYTES:
        raise Refused(
            413,
            f"expected a body of at most {BYTES:,} bytes; received {size:,}: send at "
            f"most {WINDOWS:,} windows at a time, as Parquet",
        )


def windows(body, kind):
    """The windows in a request's body.

    Args:
        body: bytes.
        kind: `JSON` or `PARQUET`.

    Returns:
        Numbers of shape (n, 3, 4096), or of another shape, which a scorer refuses.

    Raises:
        Refused: the body is broken or holds something else (400), or too many windows
            (413).
    """
    return from_parquet(body) if kind == PARQUET else from_array(body)


def from_array(body):
    """Windows from JSON: {"inputs": [window, …]}."""
    try:
        table = from_json(body)
    except ValueError as error:
        raise Refused(400, f"expected JSON; it cannot be read: {error}") from None
    names = [name for name in NAMES if isinstance(table, dict) and name in table]
    if len(names) != 1 or not isinstance(table[names[0]], list):
        held = ", ".join(table) if isinstance(table, dict) else type(table).__name__
        raise Refused(
            400,
            f'expected JSON such as {{"inputs": [[[…]]]}}; received {held[:80]!r}',
        )
    rows = table[names[0]]
    _check_count(len(rows))
    try:
        array = np.array(rows)
    except ValueError:
        raise Refused(
            400, f"expected windows of shape {SHAPE}; received lists of unequal length"
        ) from None
    if array.dtype.kind not in "iuf":
        raise Refused(400, f"expected numbers; received {_stranger(rows)!r:.40}")
    return array.astype(np.float64, copy=False)


def _stranger(value):
    """The first value within lists that is no number."""
    if not isinstance(value, list):
        return None if type(value) in (int, float) else value
    inner = (_stranger(one) for one in value)
    return next((one for one in inner if one is not None), None)


def from_parquet(body):
    """Windows from Parquet, one column of flat lists of 12,288 numbers, not copied."""
    try:
        file = pq.ParquetFile(pa.BufferReader(body))
        # What it holds is counted before it is unfolded: equal windows compress well.
        _check_count(file.metadata.num_rows)
        # One thread, for the cores are at work on the batch before.
        table = file.read(use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Refused(400, f"expected Parquet; it cannot be read: {error}") from None
    if table.num_columns != 1 or not table.num_rows:
        raise Refused(
            400,
            "expected Parquet of one column and at least one row; received "
            f"{table.num_columns} columns and {table.num_rows} rows",
        )
    column = table.column(0).combine_chunks()
    flat = _flat(column)
    if flat is None:
        raise Refused(
            400,
            f"expected flat lists of {LENGTH:,} numbers, float or double, without "
            f"gaps; received {column.type}",
        )
    return flat.reshape(-1, *SHAPE)


def _flat(column):
    """The numbers of a column of flat lists of a window each; None if it is not one."""
    kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)):
        return None
    if kind.value_type not in (pa.float32(), pa.float64()) or column.null_count:
        return None
    flat = column.flatten()
    same = pc.all(pc.equal(pc.list_value_length(column), LENGTH)).as_py()
    return None if flat.null_count or not same else flat.to_numpy()


def _check_count(count):
    if count > WINDOWS:
        raise Refused(
            413,
            f"expected at most {WINDOWS:,} windows in a request, received {count:,}",
        )
