"""What stands before MLflow's scoring server and refuses what it would choke on.

`mlflow models serve` reads any body whole before it looks at it, takes "1e-21" for a
number, and a request that its parser does not expect ends as error 500. Parquet goes
through so many of its hands that a fast network waits for them a fifth of the time.
There is no setting for any of it, so the model, which is loaded before the server is
built, puts itself in between: what is Parquet of windows it answers, what is wrong it
refuses, and the rest is MLflow's.
"""

import asyncio
import json
import os
import sys
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gwres.errors import InputError
from gwres.strain import SHAPE

# One request's windows; as float64 in Parquet they are 101 MB, as JSON a third fits.
WINDOWS = 1024
BYTES = 128 * 2**20
JSON, PARQUET = "application/json", "application/vnd.apache.parquet"
READER = "mlflow.pyfunc.scoring_server"
SERVER = f"{READER}.app"
PATH = "/invocations"
LIMIT = "MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT"  # s; `mlflow models serve` sets it
# What parsers raise at a body that is not what it says. What the model raises, MLflow
# answers itself.
UNREADABLE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
# Where a table in JSON may hold strings: the names of its columns and rows.
NAMES = ("columns", "index")


class Refused(Exception):
    """What is in a body is not handed on.

    Args:
        status: of the answer.
        message: what was expected and what was received.
    """

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def fault(headers):
    """What is wrong with a request by its headers alone.

    Args:
        headers: dict of lower-case name to text.

    Returns:
        (status, message), or None.
    """
    kind = _kind(headers)
    if kind not in (JSON, PARQUET):
        return 415, (
            f"expected a Content-Type {JSON} or {PARQUET}; received {kind or 'none'}"
        )
    length = headers.get("content-length")
    if length is None:
        return 411, "expected a header Content-Length; received none"
    if not length.isdecimal():
        return 400, f"expected a whole number as Content-Length; received {length}"
    if int(length) > BYTES:
        return 413, (
            f"expected a body of at most {BYTES:,} bytes; received {int(length):,}: "
            f"send at most {WINDOWS:,} windows at a time, as Parquet"
        )
    return None


def numbers(data, schema, *, plain):
    """JSON as MLflow hands it on, if its numbers are numbers and its windows few.

    Args:
        data: dict of MLflow's name for a format to lists and objects.
        schema: MLflow's.
        plain: MLflow's own function of the two.

    Raises:
        Refused: more than `WINDOWS` windows, whose numbers may be short enough for
            `BYTES`; or a string, which MLflow would take for a number.
    """
    count = _count(data)
    if count > WINDOWS:
        raise _many(count)
    found = _text(data)
    if found is not None:
        raise Refused(400, f"expected numbers; received the text {found[:40]!r}")
    return plain(data, schema)


def _count(data):
    """Rows of the longest table in JSON: of lists, of columns, or of records."""
    tables = [data, *(value for value in data.values() if isinstance(value, dict))]
    columns = [column for table in tables for column in table.values()]
    rows = (list, dict)
    return max(
        (
            len(column)
            for column in columns
            if isinstance(column, list) and column and isinstance(column[0], rows)
        ),
        default=0,
    )


def _many(count):
    message = f"expected at most {WINDOWS:,} windows in a request, received {count:,}"
    return Refused(413, message)


def _text(value):
    """The first string among the values of lists and objects, or None."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        value = [inner for name, inner in value.items() if name not in NAMES]
    elif not isinstance(value, list) or set(map(type, value)) <= {int, float}:
        return None
    return next((found for found in map(_text, value) if found is not None), None)


def strain(body):
    """Windows from the bytes of a Parquet file, without a copy.

    Args:
        body: bytes.

    Returns:
        (n, 3, 4096), float32 or float64; or None if it is not one column of flat lists
        of 12,288 such numbers, for MLflow to say what is wrong.

    Raises:
        Refused: more than `WINDOWS` rows, which is seen before they are unfolded; or
            the file is broken.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(body))
        if file.metadata.num_rows > WINDOWS:
            raise _many(file.metadata.num_rows)
        # One thread, for the cores are at work on the batch before.
        table = file.read(use_threads=False)
    except (*UNREADABLE, pa.ArrowException, OSError) as error:
        raise Refused(400, f"expected Parquet; it cannot be read: {error}") from None
    if table.num_columns != 1 or not table.num_rows:
        return None
    return _flat(table.column(0).combine_chunks())


def _flat(column):
    """A column of flat lists as an array (n, 3, 4096), or None if it is not one."""
    size, kind = SHAPE[0] * SHAPE[1], column.type
    if not (pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)):
        return None
    if kind.value_type not in (pa.float32(), pa.float64()) or column.null_count:
        return None
    flat = column.flatten()
    same = pc.all(pc.equal(pc.list_value_length(column), size)).as_py()
    if flat.null_count or not same:
        return None
    return flat.to_numpy().reshape(-1, *SHAPE)


def serving():
    """Whether this process is MLflow's scoring server, still loading its model."""
    return SERVER in sys.modules


def install(score):
    """Have the server that is about to be built ask what is in here.

    Args:
        score: function of strain (n, 3, 4096) to a list of n dicts; it may raise
            InputError.
    """
    import fastapi

    plain = fastapi.FastAPI
    reader = sys.modules[READER]
    reader.infer_and_parse_data = partial(numbers, plain=reader.infer_and_parse_data)
    limit = float(os.environ.get(LIMIT, 60))

    class Guarded(plain):
        """The server's application, behind `fault` and `strain`."""

        def __init__(self, **options):
            handlers = dict.fromkeys(UNREADABLE, _unreadable) | {Refused: _refused}
            super().__init__(exception_handlers=handlers, **options)

        async def __call__(self, scope, receive, send):
            """Answer a request, refuse it, or leave it to MLflow."""
            if scope["type"] != "http" or scope["method"] != "POST":
                return await super().__call__(scope, receive, send)
            headers = {
                name.decode("latin-1").lower(): value.decode("latin-1")
                for name, value in scope["headers"]
            }
            found = fault(headers)
            if found:
                if headers.get("expect", "").lower() != "100-continue":
                    # Who still sends would see a broken connection and no answer.
                    while (await receive()).get("more_body"):
                        pass
                return await _answer(*found)(scope, receive, send)
            if scope["path"] == PATH and _kind(headers) == PARQUET:
                try:
                    async with asyncio.timeout(limit):
                        message = await _whole(receive)
                        found = await asyncio.to_thread(_scored, message, score)
                except TimeoutError:
                    found = _answer(504, f"expected to be done in {limit:g} s")
                if found:
                    return await found(scope, receive, send)
                receive = _again(message, receive)
            return await super().__call__(scope, receive, send)

    fastapi.FastAPI = Guarded


def _kind(headers):
    return headers.get("content-type", "").partition(";")[0].strip().lower()


async def _whole(receive):
    """A body in one message, or whatever else comes, such as that the sender left."""
    message, pieces = {"more_body": True}, []
    while message.get("more_body"):
        message = await receive()
        pieces.append(message.get("body", b""))
    return message | {"body": b"".join(pieces)}


def _again(message, receive):
    """`receive` that begins with a message once more."""
    left = [message]

    async def first():
        return left.pop() if left else await receive()

    return first


def _scored(message, score):
    """The response to windows in Parquet, or None where there are none."""
    from fastapi.responses import Response

    if message["type"] != "http.request":
        return None
    try:
        windows = strain(message["body"])
        if windows is None:
            return None
        text = json.dumps({"predictions": score(windows)})
    except Refused as error:
        return _answer(error.status, str(error))
    except InputError as error:
        return _answer(400, str(error))
    return Response(text, media_type="application/json")


def _answer(status, message):
    from fastapi.responses import Response

    text = json.dumps({"error_code": "BAD_REQUEST", "message": message})
    return Response(text, status, media_type="application/json")


async def _refused(request, error):
    return _answer(error.status, str(error))


async def _unreadable(request, error):
    kind = request.headers.get("content-type")
    reason = f"{type(error).__name__}: {error}"[:500]
    return _answer(400, f"expected a body of {kind}; it cannot be read: {reason}")
