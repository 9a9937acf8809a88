"""What is refused before MLflow's server reads it."""

import asyncio

import fastapi
import pytest

from gwres import guard

JSON = {"content-type": "application/json", "content-length": "10"}


@pytest.mark.parametrize(
    ("headers", "status", "message"),
    [
        (JSON, None, ""),
        (JSON | {"content-type": "application/json; charset=utf-8"}, None, ""),
        (JSON | {"content-type": "application/vnd.apache.parquet"}, None, ""),
        (JSON | {"content-type": "text/csv"}, 415, "received text/csv"),
        (JSON | {"content-type": ""}, 415, "received none"),
        ({"content-length": "10"}, 415, "received none"),
        ({"content-type": "application/json"}, 411, "Content-Length; received none"),
        (JSON | {"content-length": str(guard.BYTES)}, None, ""),
        (JSON | {"content-length": str(guard.BYTES + 1)}, 413, "at most 134,217,728"),
        (JSON | {"content-length": "many"}, 400, "received many"),
    ],
)
def test_a_request_is_judged_by_its_headers(headers, status, message):
    found = guard.fault(headers)
    assert (found and found[0]) == status
    assert message in (found[1] if found else "")


@pytest.fixture
def served(monkeypatch):
    """An application as MLflow builds it after the model is loaded."""
    monkeypatch.setattr(fastapi, "FastAPI", fastapi.FastAPI)
    guard.install()
    app = fastapi.FastAPI()

    @app.post("/invocations")
    async def answer(request: fastapi.Request):
        body = await request.body()
        if body == b"deep":
            raise RecursionError("too deep")
        return {"read": len(body)}

    @app.get("/ping")
    async def ping():
        return {}

    def ask(headers, *chunks, method="POST", path="/invocations"):
        left, sent = list(chunks), []

        async def receive():
            return {
                "type": "http.request",
                "body": left.pop(0),
                "more_body": bool(left),
            }

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "method": method, "path": path, "headers": headers}
        scope |= {"query_string": b"", "root_path": "", "http_version": "1.1"}
        asyncio.run(app(scope, receive, send))
        return sent[0]["status"], sent[1]["body"].decode(), len(left)

    return ask


def raw(headers):
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def test_what_is_well_formed_passes_and_the_rest_is_drained(served):
    assert served(raw(JSON), b"hello")[:2] == (200, '{"read":5}')
    assert served([], b"", method="GET", path="/ping")[0] == 200
    huge = raw(JSON | {"content-length": "999999999"})
    status, body, left = served(huge, b"a", b"b", b"c")
    assert (status, left) == (413, 0)
    assert "received 999,999,999" in body
    # Who asks first is answered before anything is sent.
    asking = [*huge, (b"expect", b"100-continue")]
    assert served(asking, b"a", b"b")[::2] == (413, 2)


def test_a_body_that_breaks_the_parser_is_the_sender_s_fault(served):
    status, body, _ = served(raw(JSON), b"deep")
    assert status == 400
    assert "application/json; it cannot be read: RecursionError: too deep" in body
