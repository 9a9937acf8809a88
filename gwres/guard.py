"""What stands before MLflow's scoring server and refuses what it would choke on.

`mlflow models serve` reads any body whole before it looks at it, and a request that its
parser does not expect ends as error 500. There is no setting for either, so the model,
which is loaded before the server is built, puts itself in between.
"""

import json
import sys

# One request's windows; as float64 in Parquet they are 101 MB, as JSON a third fits.
WINDOWS = 1024
BYTES = 128 * 2**20
KINDS = ("application/json", "application/vnd.apache.parquet")
SERVER = "mlflow.pyfunc.scoring_server.app"
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


def fault(headers):
    """What is wrong with a request by its headers alone.

    Args:
        headers: dict of lower-case name to text.

    Returns:
        (status, message), or None.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in KINDS:
        return 415, (
            f"expected a Content-Type {' or '.join(KINDS)}; received {kind or 'none'}"
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


def serving():
    """Whether this process is MLflow's scoring server, still loading its model."""
    return SERVER in sys.modules


def install():
    """Have the server that is about to be built ask `fault` before it reads a body."""
    import fastapi

    plain = fastapi.FastAPI

    class Guarded(plain):
        """The server's application, behind `fault`."""

        def __init__(self, **options):
            handlers = dict.fromkeys(UNREADABLE, _unreadable)
            super().__init__(exception_handlers=handlers, **options)

        async def __call__(self, scope, receive, send):
            """Answer a request, or refuse it."""
            headers = {
                name.decode("latin-1").lower(): value.decode("latin-1")
                for name, value in scope.get("headers", ())
            }
            posted = scope["type"] == "http" and scope["method"] == "POST"
            found = fault(headers) if posted else None
            if not found:
                return await super().__call__(scope, receive, send)
            if headers.get("expect", "").lower() != "100-continue":
                # Who is still sending would see a broken connection and no answer.
                while (await receive()).get("more_body"):
                    pass
            return await _answer(*found)(scope, receive, send)

    fastapi.FastAPI = Guarded


def _answer(status, message):
    from fastapi.responses import Response

    text = json.dumps({"error_code": "BAD_REQUEST", "message": message})
    return Response(text, status, media_type="application/json")


async def _unreadable(request, error):
    kind = request.headers.get("content-type")
    reason = f"{type(error).__name__}: {error}"[:500]
    return _answer(400, f"expected a body of {kind}; it cannot be read: {reason}")
