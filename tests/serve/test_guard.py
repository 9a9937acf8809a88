"""What is refused before MLflow's server reads it."""

import asyncio
import io
import json
import sys
import time
from types import SimpleNamespace

import fastapi
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gwres.errors import InputError
from gwres.serve import client, guard

STRAIN = np.random.default_rng(0).normal(scale=1e-21, size=(2, 3, 4096))
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


def test_ten_thousand_windows_are_too_many_however_they_are_written():
    """Nothing needs fewer bytes than zeros do, in JSON or in plain Parquet."""
    one = len(json.dumps(np.zeros((3, 4096), int).tolist(), separators=(",", ":")))
    for size in 10_000 * one, 10_000 * STRAIN[0].astype("f4").nbytes:
        assert guard.fault(JSON | {"content-length": str(size)})[0] == 413


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"inputs": STRAIN.tolist()}, None),
        ({"dataframe_split": {"columns": ["strain"], "data": [[[1e-21]]]}}, None),
        ({"dataframe_records": [{"strain": [1e-21, 0]}]}, None),
        ({"inputs": STRAIN.astype(str).tolist()}, str(STRAIN[0, 0, 0])),
        ({"inputs": [[[1e-21, 2, None, "3e-21"]]]}, "3e-21"),
        ({"inputs": "1e-21"}, "1e-21"),
        ({"inputs": [""]}, ""),
        ({"instances": [{"strain": [1e-21, "nan"]}]}, "nan"),
        ({"dataframe_split": {"columns": ["strain"], "data": [[["1"]]]}}, "1"),
        ({"dataframe_records": [{"strain": [1e-21, "0"]}]}, "0"),
    ],
)
def test_a_number_written_as_text_is_refused(body, found):
    if found is None:
        expected = body, "schema"
        assert guard.numbers(body, "schema", plain=lambda *given: given) == expected
        return
    with pytest.raises(guard.Refused, match=f"numbers; .*'{found}'$") as error:
        guard.numbers(body, "schema", plain=None)
    assert error.value.status == 400


def written(table, **options):
    """A table as the bytes of a Parquet file."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


FLAT = STRAIN.reshape(2, -1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parquet_of_any_writer_is_read_as_pandas_does(dtype):
    rows = FLAT.astype(dtype)
    # The client's own are fixed in size, without gaps; others' are neither.
    own = pq.read_table(io.BytesIO(client.parquet(STRAIN)))
    for table, expected in (
        (pa.Table.from_pandas(pd.DataFrame({"x": list(rows)})), STRAIN.astype(dtype)),
        (pa.table({"x": pa.array(list(rows))}), STRAIN.astype(dtype)),
        (own, STRAIN.astype(np.float32)),
    ):
        for options in {}, {"row_group_size": 1}, {"compression": "zstd"}:
            found = guard.strain(written(table, **options))
            assert found.dtype == expected.dtype
            assert found.shape == expected.shape
            assert (found == expected).all()


@pytest.mark.parametrize(
    "rows",
    [
        [FLAT[0], FLAT[1, :-1]],
        [FLAT[0], None],
        [[None, *FLAT[0, 1:]]],
        [FLAT[0].astype(str)],
        [FLAT[0].astype(np.float16)],
        [STRAIN[0].tolist()],
        [1.0, 2.0],
        [],
    ],
)
def test_other_parquet_is_left_to_mlflow(rows):
    assert guard.strain(written(pa.table({"strain": pa.array(rows)}))) is None


def test_a_second_column_is_left_to_mlflow():
    table = pa.table({"strain": pa.array(list(FLAT)), "id": ["a", "b"]})
    assert guard.strain(written(table)) is None


@pytest.mark.parametrize(
    "table",
    [
        lambda rows: {"inputs": rows},
        lambda rows: {"inputs": {"strain": rows}},
        lambda rows: {"dataframe_split": {"columns": ["strain"], "data": rows}},
        lambda rows: {"dataframe_records": [{"strain": row} for row in rows]},
    ],
)
def test_json_is_refused_by_its_count_however_short_it_is(table):
    assert guard.numbers(table([[0]] * 1024), None, plain=lambda *_: "read") == "read"
    with pytest.raises(guard.Refused, match="at most 1,024 .*received 1,025") as error:
        guard.numbers(table([[0]] * 1025), None, plain=None)
    assert error.value.status == 413


def test_parquet_is_refused_by_its_count_before_it_is_unfolded():
    """Equal windows compress to a file that no limit of bytes stops."""
    numbers = pa.repeat(pa.scalar(1e-21, pa.float32()), 1025 * FLAT[0].size)
    column = pa.FixedSizeListArray.from_arrays(numbers, FLAT[0].size)
    body = written(pa.table({"strain": column}))
    assert len(body) < guard.BYTES / 100
    with pytest.raises(guard.Refused, match="at most 1,024 .*received 1,025") as error:
        guard.strain(body)
    assert error.value.status == 413
    with pytest.raises(guard.Refused, match="expected Parquet; it cannot") as error:
        guard.strain(client.parquet(STRAIN)[:-9])
    assert error.value.status == 400


@pytest.fixture
def served(monkeypatch):
    """An application as MLflow builds it after the model is loaded."""
    monkeypatch.setattr(fastapi, "FastAPI", fastapi.FastAPI)
    reader = SimpleNamespace(infer_and_parse_data=lambda data, schema: None)
    monkeypatch.setitem(sys.modules, guard.READER, reader)
    monkeypatch.setenv(guard.LIMIT, "0.5")

    def score(windows):
        if windows[0, 0, 0] == 1:
            raise InputError("too loud")
        if windows[0, 0, 0] == 2:
            time.sleep(1)
        return [{"logit": float(one[2, -1])} for one in windows]

    guard.install(score)
    app = fastapi.FastAPI()

    @app.middleware("http")
    async def between(request: fastapi.Request, call_next):
        return await call_next(request)

    @app.post("/invocations")
    async def answer(request: fastapi.Request):
        body = await request.body()
        if body == b"deep":
            raise RecursionError("too deep")
        if body.startswith(b"{"):
            reader.infer_and_parse_data(json.loads(body), None)
        return {"read": len(body)}

    @app.get("/ping")
    async def ping():
        return {}

    def ask(headers, *chunks, method="POST", path="/invocations"):
        left, sent = list(chunks), []

        async def receive():
            if not left:
                return {"type": "http.disconnect"}
            body = left.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(left)}

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


def test_text_for_numbers_is_refused_with_a_message(served):
    body = json.dumps({"inputs": [[["1e-21"]]]}).encode()
    status, answer, _ = served(raw(JSON), body[:9], body[9:])
    assert status == 400
    assert "expected numbers; received the text '1e-21'" in answer


KIND = raw(JSON | {"content-type": client.PARQUET})


def test_parquet_of_windows_is_answered_and_other_is_left_to_mlflow(served):
    body = client.parquet(STRAIN)
    status, answer, _ = served(KIND, body[:9], body[9:], b"")
    expected = [{"logit": float(np.float32(one[2, -1]))} for one in STRAIN]
    assert (status, json.loads(answer)) == (200, {"predictions": expected})
    other = written(pa.table({"strain": [1.0]}))
    assert served(KIND, other)[:2] == (200, f'{{"read":{len(other)}}}')


def test_parquet_that_cannot_be_scored_is_refused_with_a_message(served):
    assert served(KIND, b"hello")[0] == 400
    assert "expected Parquet; it cannot be read" in served(KIND, b"hello")[1]
    status, answer, _ = served(KIND, client.parquet(np.full((1, 3, 4096), 1.0)))
    assert (status, json.loads(answer)["message"]) == (400, "too loud")
    status, answer, _ = served(KIND, client.parquet(np.full((1, 3, 4096), 2.0)))
    assert status == 504
    assert "expected to be done in 0.5 s" in answer
