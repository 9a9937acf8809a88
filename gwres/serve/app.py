"""A server of strain: the registered model behind limits, Parquet, health and metrics.

It answers what `mlflow models serve` answers, in the same form. What it adds needs a
server of one's own: MLflow's reads any body whole, takes text for numbers, and counts
nothing.
"""

import asyncio
import json

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
from gwres.strain import SHAPE


class Prediction(BaseModel):
    """What the model says of one window."""

    logit: float = Field(description="log odds of a signal")
    probability: float = Field(description="of a signal, 0 to 1")
    detectors: str = Field(description="those that were not missing: H1 L1 V1")


class Answer(BaseModel):
    """One prediction for each window, in their order."""

    predictions: list[Prediction]


class Refusal(BaseModel):
    """Why a request is not answered."""

    error_code: str
    message: str = Field(description="what was expected and what was received")


BODY = {
    "required": True,
    "content": {
        JSON: {
            "schema": {
                "type": "object",
                "required": ["inputs"],
                "properties": {
                    "inputs": {
                        "type": "array",
                        "maxItems": guard.WINDOWS,
                        "description": f"strain, {SHAPE[0]} rows (H1, L1, V1) of "
                        f"{SHAPE[1]} samples at 2048 Hz each; a row of zeros is a "
                        "missing detector",
                        "items": {
                            "type": "array",
                            "items": {"type": "array", "items": {"type": "number"}},
                        },
                    }
                },
            }
        },
        PARQUET: {
            "schema": {
                "type": "string",
                "format": "binary",
                "description": f"one column of flat lists of {guard.LENGTH:,} floats",
            }
        },
    },
}
REFUSALS = {
    400: "the body cannot be read, or is no strain",
    411: "no Content-Length",
    413: "too many windows or bytes",
    415: "another Content-Type",
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


def application(scorer, uri, timeout=60.0):
    """The server's application.

    Args:
        scorer: a `Scorer`, or what has its `rows`.
        uri: of the model, told by /health.
        timeout: seconds until a request is given up.

    Returns:
        fastapi.FastAPI, with the routes /invocations, /ping, /health, /version,
        /metrics, /docs and /openapi.json.
    """
    metrics = _Metrics()
    app = FastAPI(
        title="gwres",
        version=gwres.__version__,
        description=f"Evidence of black-hole mergers in strain, by {uri}.",
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
        with metrics.waiting.track_inprogress():
            try:
                async with asyncio.timeout(timeout):
                    response = await _score(request, scorer, metrics)
            except Refused as refused:
                response = await _refuse(request, refused)
            except TimeoutError:
                late = Refused(504, f"expected to be done in {timeout:g} s")
                response = await _refuse(request, late)
            except ClientDisconnect:
                response = Response(status_code=400)
        metrics.requests.labels(response.status_code).inc()
        return response

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


async def _score(request, scorer, metrics):
    """Read a request and score it, in a thread, so that others are answered too."""
    kind = guard.check_headers(request.headers)
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        guard.check_size(size)
        pieces.append(piece)
    body = b"".join(pieces)

    def answer():
        strain = guard.windows(body, kind)
        try:
            with metrics.seconds.time():
                rows = scorer.rows(strain)
        except InputError as error:
            raise Refused(400, str(error)) from None
        metrics.windows.inc(len(rows))
        return json.dumps({"predictions": rows})

    return Response(await asyncio.to_thread(answer), media_type=JSON)


async def _refuse(request, refused):
    """The answer to a request that is refused.

    What still comes of its body is read and dropped: who still sends would see a broken
    connection and no answer. Who asked first is told before anything is sent.
    """
    if request.headers.get("expect", "").lower() != "100-continue":
        try:
            async for _ in request.stream():
                pass
        except (ClientDisconnect, RuntimeError):  # it has left, or was read before
            pass
    code = "DEADLINE_EXCEEDED" if refused.status == 504 else "BAD_REQUEST"
    text = {"error_code": code, "message": str(refused)}
    return JSONResponse(text, refused.status)
