"""A server of strain: the registered model behind limits, Parquet, health and metrics.

It answers what `mlflow models serve` answers, in the same form. What it adds needs a
server of one's own: MLflow's reads any body whole, takes text for numbers, and counts
nothing.
"""

import asyncio
import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from pydantic import BaseModel, Field
from starlette.requests import ClientDisconnect

import gwres
from gwres.errors import InputError
from gwres.serve import guard
from gwres.serve.guard import JSON, PARQUET, Refused
from gwres.strain import ASD_SHAPE, SHAPE


class Prediction(BaseModel):
    """What the model says of one window."""

    logit: float = Field(description="log odds of a signal", examples=[2.31])
    probability: float = Field(description="of a signal, 0 to 1", examples=[0.9097])
    detectors: str = Field(
        description="those that were not missing", examples=["H1 L1 V1"]
    )


class Answer(BaseModel):
    """One prediction for each window, in their order."""

    predictions: list[Prediction]


class Refusal(BaseModel):
    """Why a request is not answered."""

    error_code: str
    message: str = Field(description="what was expected and what was received")


# Requests at work at once: while one is scored, the next is read. Those after them wait
# outside, where one that is late is dropped before anything is done for it.
AT_WORK = 2
# Requests in the server at once, those at work among them, and bytes of their bodies,
# which are in memory: more wait where they come from.
ADMITTED, HELD = 32, 4 * guard.BYTES


def _array(*shape):
    """An array of numbers of this shape, for the OpenAPI page."""
    items = {"type": "number"}
    for length in reversed(shape):
        items = {
            "type": "array",
            "minItems": length,
            "maxItems": length,
            "items": items,
        }
    return items


STRAIN = {
    "type": "array",
    "maxItems": guard.WINDOWS,
    "description": f"strain, {SHAPE[0]} rows (H1, L1, V1) of {SHAPE[1]} samples at "
    "2048 Hz each; a row of zeros is a missing detector",
    "items": _array(*SHAPE),
}
# Where the noise of the windows is known better than the model knows it.
ASDS = {
    "description": "one-sided ASD of the noise, strain/sqrt(Hz), every Hz from 0 to "
    "512 Hz: of each window, or one for all; without it, the model's own",
    "oneOf": [
        {"type": "array", "maxItems": guard.WINDOWS, "items": _array(*ASD_SHAPE)},
        _array(*ASD_SHAPE),
        _array(guard.ASD_LENGTH),
    ],
}
PARAMS = {
    "type": "object",
    "properties": {guard.ASD: ASDS},
    "description": f"as MLflow's server has it: {guard.ASD} may be here instead",
}
ROW = [1.3e-21, -4.6e-22, 8.1e-22]
BODY = {
    "required": True,
    "content": {
        JSON: {
            "schema": {
                "type": "object",
                "oneOf": [{"required": [name]} for name in guard.NAMES],
                "properties": dict.fromkeys(guard.NAMES, STRAIN)
                | {guard.ASD: ASDS, "params": PARAMS},
            },
            "examples": {
                "window": {
                    "summary": f"one window, each row cut to {len(ROW)} samples",
                    "value": {"inputs": [[ROW, ROW[::-1], ROW]]},
                }
            },
        },
        PARQUET: {
            "schema": {
                "type": "string",
                "format": "binary",
                "description": f"one column of flat lists of {guard.LENGTH:,} floats; "
                f"beside it, where it is known, a column {guard.ASD} of flat lists of "
                f"{guard.ASD_LENGTH:,}",
            }
        },
    },
}
REFUSALS = {
    400: "the body cannot be read, or is no strain or no ASD",
    411: "no Content-Length, or a body in chunks",
    413: "too many windows or bytes",
    415: "another Content-Type",
    500: "a defect of the server; its log says more",
    503: "too many requests at once; the header Retry-After says when to ask again",
    504: "not done in time",
}


class _Metrics:
    """What Prometheus reads of one application."""

    def __init__(self):
        self.registry = CollectorRegistry()
        where = {"registry": self.registry}
        self.requests = Counter(
            "gwres_requests", "Requests to score, by status", ["status"], **where
        )
        self.windows = Counter("gwres_windows", "Windows scored", **where)
        self.seconds = Histogram(
            "gwres_scoring_seconds", "Seconds that a request is scored for", **where
        )
        self.waiting = Gauge("gwres_requests_in_flight", "Requests at work", **where)


class _Queue:
    """The requests that are in the server: how many, how large, how long one takes.

    Args:
        size: how many there may be at once.
    """

    def __init__(self, size):
        self.size, self.inside, self.held, self.seconds = size, 0, 0, 1.0

    @contextmanager
    def place(self, length):
        """A place for as long as a request is answered.

        Args:
            length: of its body, bytes.

        Raises:
            Refused: there is none (503).
        """
        if self.inside >= self.size or self.held + length > HELD:
            raise Refused(
                503,
                f"expected at most {self.size} requests at once, of {HELD:,} bytes "
                f"together; ask again in {self.wait()} s",
            )
        self.inside += 1
        self.held += length
        try:
            yield
        finally:
            self.inside -= 1
            self.held -= length

    def took(self, seconds):
        """Learn from one request that was scored."""
        self.seconds += (seconds - self.seconds) / 8

    def wait(self):
        """Seconds until those inside should be done, a whole number, as HTTP has it."""
        return min(max(1, math.ceil(self.inside * self.seconds)), 60)


def application(scorer, uri, timeout=60.0, admitted=ADMITTED):
    """The server's application.

    Args:
        scorer: a `Scorer`, or what has its `rows`.
        uri: of the model, told by /health.
        timeout: seconds until a request is given up.
        admitted: requests in the server at once; those beyond are refused.

    Returns:
        fastapi.FastAPI, with the routes /invocations, /ping, /health, /version,
        /metrics, /docs and /openapi.json.
    """
    metrics, pool = _Metrics(), ThreadPoolExecutor(AT_WORK, "scoring")
    queue = _Queue(admitted)
    app = FastAPI(
        title="gwres",
        version=gwres.__version__,
        description=f"Evidence of black-hole mergers in strain, by {uri}.",
        exception_handlers={Exception: _excuse},
    )
    refusals = {
        status: {"description": text, "model": Refusal}
        for status, text in REFUSALS.items()
    }

    @app.post(
        "/invocations",
        response_model=Answer,
        responses=refusals,
        openapi_extra={"requestBody": BODY},
    )
    async def invocations(request: Request):
        """Score windows of strain."""
        until = asyncio.get_running_loop().time() + timeout
        status = 500
        try:
            with metrics.waiting.track_inprogress():
                response = await _answer(request, until)
            status = response.status_code
        finally:
            metrics.requests.labels(status).inc()
        return response

    async def _answer(request, until):
        try:
            kind = guard.check_headers(request.headers)
            with queue.place(int(request.headers["content-length"])):
                async with asyncio.timeout_at(until):
                    return await _score(request, kind, scorer, metrics, pool, queue)
        except Refused as refused:
            wait = queue.wait() if refused.status == 503 else None
            return await _refuse(request, refused, until, wait)
        except TimeoutError:
            late = Refused(504, f"expected to be done in {timeout:g} s")
            return await _refuse(request, late, until)
        except ClientDisconnect:
            return Response(status_code=400)

    @app.get("/ping")
    async def ping():
        """Whether the server answers."""
        return PlainTextResponse("\n")

    @app.get("/health")
    async def health():
        """Whether the server answers, and with which model."""
        return {"status": "ok", "model": uri}

    @app.get("/version")
    async def version():
        """Of gwres."""
        return PlainTextResponse(gwres.__version__)

    @app.get("/metrics")
    async def prometheus():
        """Counts and times, for Prometheus."""
        text = generate_latest(metrics.registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    return app


async def _score(request, kind, scorer, metrics, pool, queue):
    """Read a request and score it, in a thread, so that others are answered too."""
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        guard.check_size(size)
        pieces.append(piece)
    body = b"".join(pieces)

    def answer():
        strain, asds = guard.read(body, kind)
        begun = time.monotonic()
        try:
            with metrics.seconds.time():
                rows = scorer.rows(strain, asds)
            queue.took(time.monotonic() - begun)
        except InputError as error:
            raise Refused(400, str(error)) from None
        metrics.windows.inc(len(rows))
        return json.dumps({"predictions": rows})

    text = await asyncio.get_running_loop().run_in_executor(pool, answer)
    return Response(text, media_type=JSON)


CODES = {503: "TEMPORARILY_UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}


async def _refuse(request, refused, until, wait=None):
    """The answer to a request that is refused.

    What still comes of its body is read and dropped, as long as there is time: who
    still sends would see a broken connection and no answer. Who asked first is told
    before anything is sent. Where a body is left unread, the connection ends.
    """
    drained = request.headers.get("expect", "").lower() != "100-continue"
    if drained:
        try:
            async with asyncio.timeout_at(until):
                async for _ in request.stream():
                    pass
        except TimeoutError:
            drained = False
        except (ClientDisconnect, RuntimeError):  # it has left, or was read before
            pass
    code = CODES.get(refused.status, "BAD_REQUEST")
    headers = {} if drained else {"Connection": "close"}
    if wait is not None:
        headers["Retry-After"] = str(wait)
    return _refusal(refused.status, code, str(refused), headers)


async def _excuse(request, error):
    """The answer where the server is at fault; its log has the traceback."""
    return _refusal(500, "INTERNAL_ERROR", f"the server failed: {type(error).__name__}")


def _refusal(status, code, message, headers=None):
    return JSONResponse({"error_code": code, "message": message}, status, headers)
