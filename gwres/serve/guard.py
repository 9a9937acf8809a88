"""What a server of strain takes: limits on a request, and its body as an array."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic_core import from_json

from gwres.strain import ASD_SHAPE, SHAPE

# One request's windows; as float64 in Parquet they are 101 MB, 113 MB with an ASD of
# each; as JSON a third fits.
WINDOWS = 1024
BYTES = 128 * 2**20
JSON, PARQUET = "application/json", "application/vnd.apache.parquet"
NAMES = ("inputs", "instances")  # of the array in JSON, as MLflow's server has them
ASD = "asd"  # in JSON, beside the array or in MLflow's "params"; a column in Parquet
LENGTH, ASD_LENGTH = math.prod(SHAPE), math.prod(ASD_SHAPE)  # numbers of a window
NUMBERS = WINDOWS * (LENGTH + ASD_LENGTH)  # in a request
# What a window or an ASD may be in Parquet: any list of either float.
LISTS = pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list
FLOATS = pa.float32(), pa.float64()


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
        Refused: another content type (415), no length or one that need not be kept to
            (411), a length that is no number (400) or above `BYTES` (413).
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
    # A body in chunks may be longer than it says.
    if "transfer-encoding" in headers:
        raise Refused(
            411,
            "expected a header Content-Length alone; received Transfer-Encoding: "
            f"{headers['transfer-encoding']:.40}",
        )
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


def read(body, kind):
    """The windows in a request's body, and the ASDs of their noise.

    Args:
        body: bytes.
        kind: `JSON` or `PARQUET`.

    Returns:
        Numbers of shape (n, 3, 4096), and None or ASDs as `Scorer.rows` takes them; or
        numbers of other shapes, which a scorer refuses.

    Raises:
        Refused: the body is broken or holds something else (400), or too many windows
            (413).
    """
    return from_parquet(body) if kind == PARQUET else from_array(body)


def from_array(body):
    """`read` of JSON: {"inputs": [window, …]}, and "asd" where it is known."""
    # Counted before they are read: a short list in text is a large one in memory.
    if body.count(b",") > NUMBERS:
        raise Refused(413, f"expected at most {NUMBERS:,} numbers; received more")
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
    return _numbers(rows, f"windows of shape {SHAPE}"), _asds(table)


def _asds(table):
    """The ASDs in JSON as an array, or None."""
    params = table.get("params")
    if not isinstance(params, dict | None):
        raise Refused(
            400, f'expected "params" such as {{"{ASD}": […]}}; received {params!r:.40}'
        )
    given = [table[ASD]] if ASD in table else []
    # An empty list in there is none: it is the default of MLflow's model.
    if (params or {}).get(ASD, []) != []:
        given.append(params[ASD])
    if len(given) > 1:
        raise Refused(
            400, f'expected one "{ASD}"; received one beside "params" and one in it'
        )
    if not given:
        return None
    if not isinstance(given[0], list):
        raise Refused(
            400, f'expected lists of numbers as "{ASD}"; received {given[0]!r:.40}'
        )
    return _numbers(given[0], f"ASDs of shape {ASD_SHAPE}")


def _numbers(rows, what):
    """Lists within lists as an array of float64."""
    try:
        array = np.array(rows)
    except ValueError:
        raise Refused(
            400, f"expected {what}; received lists of unequal length"
        ) from None
    if array.dtype.kind not in "iuf":
        raise Refused(
            400, f"{what}: expected numbers; received {_stranger(rows)!r:.40}"
        )
    return array.astype(np.float64, copy=False)


def _stranger(value):
    """The first value within lists that is no number of 64 bits."""
    if not isinstance(value, list):
        fits = type(value) is float or type(value) is int and abs(value) < 2**63
        return None if fits else value
    inner = (_stranger(one) for one in value)
    return next((one for one in inner if one is not None), None)


def from_parquet(body):
    """`read` of Parquet, whose numbers are not copied.

    It has one column of flat lists of 12,288 numbers and, where they are known, one
    named asd of flat lists of 1,539.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(body))
        names = _check_layout(file)
        # One thread, for the cores are at work on the batch before.
        table = file.read(use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Refused(400, f"expected Parquet; it cannot be read: {error}") from None
    if len(names) == 1:
        return _unfold(table.column(0), SHAPE), None
    place = names.index(ASD)
    windows = _unfold(table.column(1 - place), SHAPE)
    return windows, _unfold(table.column(place), ASD_SHAPE)


def _unfold(column, shape):
    """A column of flat lists as an array of (n, *shape)."""
    column, length = column.combine_chunks(), math.prod(shape)
    flat = column.flatten()
    same = pc.all(pc.equal(pc.list_value_length(column), length)).as_py()
    if column.null_count or flat.null_count or not same:
        raise _unlike(length, f"{column.type} of other lengths or with gaps")
    return flat.to_numpy().reshape(-1, *shape)


def _check_layout(file):
    """Refuse Parquet by what it says of itself, before it is unfolded.

    Equal windows compress well. How long a list is shows only when it is unfolded:
    pyarrow ends the process where a broken file is asked for a column's description.

    Returns:
        The columns' names: one of any name, or two of which one is `ASD`.
    """
    held = file.metadata
    _check_count(held.num_rows)
    schema = file.schema_arrow if held.num_columns in (1, 2) else pa.schema([])
    names = schema.names
    known = len(names) == 1 or names.count(ASD) == 1
    if len(names) != held.num_columns or not known or not held.num_rows:
        raise Refused(
            400,
            f"expected Parquet of one column, or of two with one named {ASD}, and at "
            f"least one row; received {held.num_columns} columns and {held.num_rows} "
            "rows",
        )
    for name, kind in zip(names, schema.types):
        if not any(is_list(kind) for is_list in LISTS) or kind.value_type not in FLOATS:
            beside = len(names) == 2 and name == ASD
            raise _unlike(ASD_LENGTH if beside else LENGTH, kind)
    return names


def _unlike(length, received):
    """The refusal of Parquet that holds no windows, or no ASDs."""
    what = "windows" if length == LENGTH else "ASDs"
    return Refused(
        400,
        f"{what}: expected flat lists of {length:,} numbers, float or double, without "
        f"gaps; received {received}",
    )


def _check_count(count):
    if count > WINDOWS:
        raise Refused(
            413,
            f"expected at most {WINDOWS:,} windows in a request, received {count:,}",
        )
