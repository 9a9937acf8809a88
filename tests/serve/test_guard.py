"""What a server takes, by headers and by body."""

import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gwres.serve import client, guard
from tests.contract import fresh

STRAIN = np.random.default_rng(0).normal(scale=1e-21, size=(2, 3, 4096))
FLAT = STRAIN.reshape(2, -1)
ASDS = np.random.default_rng(1).uniform(1e-23, 1e-22, (2, 3, 513))
HEADERS = {"content-type": "application/json", "content-length": "10"}


def windows(body, kind):
    """The windows of a body that has no ASDs."""
    read, asds = guard.read(body, kind)
    assert asds is None
    return read


@pytest.mark.parametrize(
    ("headers", "status", "message"),
    [
        (HEADERS, None, ""),
        (HEADERS | {"content-type": "application/json; charset=utf-8"}, None, ""),
        (HEADERS | {"content-type": "application/vnd.apache.parquet"}, None, ""),
        (HEADERS | {"content-type": "text/csv"}, 415, "received text/csv"),
        (HEADERS | {"content-type": ""}, 415, "received none"),
        ({"content-length": "10"}, 415, "received none"),
        ({"content-type": "application/json"}, 411, "Content-Length; received none"),
        (HEADERS | {"content-length": str(guard.BYTES)}, None, ""),
        (
            HEADERS | {"content-length": str(guard.BYTES + 1)},
            413,
            "at most 134,217,728",
        ),
        (HEADERS | {"content-length": "many"}, 400, "received many"),
        (HEADERS | {"transfer-encoding": "chunked"}, 411, "Transfer-Encoding: chunked"),
    ],
)
def test_a_request_is_judged_by_its_headers(headers, status, message):
    if status is None:
        assert guard.check_headers(headers) == headers["content-type"].split(";")[0]
        return
    with pytest.raises(guard.Refused, match=message) as refused:
        guard.check_headers(headers)
    assert refused.value.status == status


def test_ten_thousand_windows_are_too_many_however_they_are_written():
    """Nothing needs fewer bytes than zeros do, in JSON or in plain Parquet."""
    one = len(json.dumps(np.zeros((3, 4096), int).tolist(), separators=(",", ":")))
    for size in 10_000 * one, 10_000 * STRAIN[0].astype("f4").nbytes:
        with pytest.raises(guard.Refused) as refused:
            guard.check_size(size)
        assert refused.value.status == 413


def test_a_request_may_be_full_and_have_an_asd_of_each_window():
    plain = FLAT[0].nbytes + ASDS[0].nbytes
    assert guard.WINDOWS * plain < guard.BYTES
    one = {"inputs": STRAIN[:1].tolist(), "asd": ASDS[:1].tolist()}
    # A comma fewer than numbers, and one between this window and the next.
    assert guard.WINDOWS * (json.dumps(one).count(",") + 1) <= guard.NUMBERS + 1


@pytest.mark.parametrize("name", ["inputs", "instances"])
def test_json_holds_windows_under_mlflows_names(name):
    body = json.dumps({name: STRAIN.tolist()}).encode()
    read = windows(body, guard.JSON)
    assert read.dtype == np.float64
    np.testing.assert_array_equal(read, STRAIN)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{hello", "expected JSON; it cannot be read"),
        (b"[1]", "received 'list'"),
        (b"{}", "received ''"),
        (b'{"inputs": 3}', "received 'inputs'"),
        (b'{"inputs": "1e-21"}', "received 'inputs'"),
        (b'{"inputs": [1], "instances": [1]}', "received 'inputs, instances'"),
        (b'{"inputs":' + b"[" * 100_000, "cannot be read: recursion"),
        (b'{"inputs": [[1, 2], [1]]}', "lists of unequal length"),
        (b'{"inputs": ' + b"[" * 70 + b"1" + b"]" * 70 + b"}", "expected windows"),
        (b'{"inputs": [[[1e-21, 2, null, 3]]]}', "expected numbers; received"),
        (
            b'{"inputs": [[[1, 9999999999999999999999]]]}',
            "received 9999999999999999999",
        ),
        (b'{"inputs": [[["1e-21"]]]}', "expected numbers; received '1e-21'"),
        (b'{"inputs": [[[1e-21, "nan"]]]}', "expected numbers; received 'nan'"),
        (b'{"inputs": [[[true, false]]]}', "expected numbers; received True"),
        (b'{"inputs": [[{"a": 1}]]}', "expected numbers; received {'a': 1}"),
        (b'{"inputs": [1], "asd": null}', 'numbers as "asd"; received None'),
        (b'{"inputs": [1], "asd": "1e-23"}', "received '1e-23'"),
        (b'{"inputs": [1], "asd": [[1, 2], [1]]}', "ASDs of shape (3, 513); received"),
        (b'{"inputs": [1], "asd": [["1"]]}', "expected numbers; received '1'"),
        (b'{"inputs": [1], "asd": [null]}', "expected numbers; received None"),
        (b'{"inputs": [1], "params": {"asd": 1}}', 'numbers as "asd"; received 1'),
        (b'{"inputs": [1], "params": [1]}', 'expected "params" such as'),
        (b'{"inputs": [1], "asd": [], "params": {"asd": [1]}}', 'expected one "asd"'),
    ],
)
def test_json_of_something_else_is_refused(body, message):
    with pytest.raises(guard.Refused) as refused:
        windows(body, guard.JSON)
    assert refused.value.status == 400
    assert message in str(refused.value)


@pytest.mark.parametrize("given", [ASDS, ASDS[0], ASDS[0].ravel()])
def test_json_holds_asds_beside_the_windows_or_where_mlflow_has_them(given):
    for more in {"asd": given.tolist()}, {"params": {"asd": given.tolist()}}:
        body = json.dumps({"inputs": STRAIN.tolist()} | more).encode()
        strain, asds = guard.read(body, guard.JSON)
        assert strain.shape == STRAIN.shape
        np.testing.assert_array_equal(asds, given)


@pytest.mark.parametrize("params", [None, {}, {"asd": []}, {"other": 1}])
def test_json_whose_params_have_no_asd_has_none(params):
    body = json.dumps({"inputs": STRAIN.tolist(), "params": params}).encode()
    np.testing.assert_array_equal(windows(body, guard.JSON), STRAIN)


def test_json_is_refused_by_its_count_however_short_it_is():
    few, many = (json.dumps({"inputs": [[0]] * n}).encode() for n in (1024, 1025))
    assert windows(few, guard.JSON).shape == (1024, 1)
    with pytest.raises(guard.Refused, match="at most 1,024 .*received 1,025") as error:
        windows(many, guard.JSON)
    assert error.value.status == 413


def test_json_of_too_many_numbers_is_refused_before_it_is_read(monkeypatch):
    monkeypatch.setattr(guard, "NUMBERS", 6)
    fits, over = (json.dumps({"inputs": [[0] * n]}).encode() for n in (6, 8))
    assert windows(fits, guard.JSON).shape == (1, 6)
    monkeypatch.setattr(guard, "from_json", None)
    with pytest.raises(guard.Refused, match="at most 6 numbers") as refused:
        windows(over, guard.JSON)
    assert refused.value.status == 413


def written(table, **options):
    """A table as the bytes of a Parquet file."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


def large(rows):
    """Rows as lists whose places are counted in 64 bits, as Polars writes them."""
    return pa.array(list(rows), pa.large_list(pa.from_numpy_dtype(rows.dtype)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parquet_of_any_writer_is_read(dtype):
    rows = FLAT.astype(dtype)
    # The client's own are fixed in size, without gaps; others' are neither.
    own = pq.read_table(io.BytesIO(client.parquet(STRAIN)))
    for table, expected in (
        (pa.Table.from_pandas(pd.DataFrame({"x": list(rows)})), STRAIN.astype(dtype)),
        (pa.table({"x": pa.array(list(rows))}), STRAIN.astype(dtype)),
        (pa.table({"x": large(rows)}), STRAIN.astype(dtype)),
        (own, STRAIN.astype(np.float32)),
    ):
        for options in {}, {"row_group_size": 1}, {"compression": "zstd"}:
            read = windows(written(table, **options), guard.PARQUET)
            assert read.dtype == expected.dtype
            np.testing.assert_array_equal(read, expected)


@pytest.mark.parametrize(
    "rows",
    [
        [FLAT[0], FLAT[1, :-1]],
        [FLAT.ravel()],
        [FLAT[0], None],
        [[None, *FLAT[0, 1:]]],
        [FLAT[0].astype(str)],
        [FLAT[0].astype(np.float16)],
        [STRAIN[0].tolist()],
        [1.0, 2.0],
        [],
    ],
)
def test_parquet_of_something_else_is_refused(rows):
    body = written(pa.table({"strain": pa.array(rows)}))
    with pytest.raises(guard.Refused, match="expected .*; received") as refused:
        windows(body, guard.PARQUET)
    assert refused.value.status == 400


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parquet_of_any_writer_has_asds_in_a_column_of_that_name(dtype, order):
    columns = {"x": STRAIN.astype(dtype), "asd": ASDS.astype(dtype)}
    flat = {k: list(v.reshape(2, -1)) for k, v in list(columns.items())[::order]}
    for table in pa.Table.from_pandas(pd.DataFrame(flat)), pa.table(flat):
        strain, asds = guard.read(written(table, row_group_size=1), guard.PARQUET)
        np.testing.assert_array_equal(strain, columns["x"])
        np.testing.assert_array_equal(asds, columns["asd"])


FLAT_ASDS = list(ASDS.reshape(2, -1))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": list(FLAT), "id": ["a", "b"]}, "one column.*received 2 columns"),
        ({"x": list(FLAT), "asds": FLAT_ASDS}, "named asd.*received 2 columns"),
        (
            {"x": list(FLAT), "asd": FLAT_ASDS, "y": FLAT_ASDS},
            "received 3 columns",
        ),
        ({"asd": FLAT_ASDS}, "lists of 12,288 numbers"),
        ({"x": [{"asd": 1.0, "b": 2.0}] * 2}, "received 2 columns"),
        ({"x": FLAT_ASDS, "asd": list(FLAT)}, "windows: .* 12,288 .*other lengths"),
        ({"x": list(FLAT), "asd": list(FLAT)}, "ASDs: .* 1,539 .*other lengths"),
        ({"x": list(FLAT), "asd": [FLAT_ASDS[0], None]}, "ASDs: .* 1,539 .*gaps"),
        ({"x": list(FLAT), "asd": ["a", "b"]}, "ASDs: .* 1,539 .*received string"),
        ({"x": list(FLAT), "asd": ASDS.tolist()}, "ASDs: .* 1,539 .*received list"),
    ],
)
def test_parquet_of_other_columns_is_refused(columns, message):
    with pytest.raises(guard.Refused, match=message) as refused:
        guard.read(written(pa.table(columns)), guard.PARQUET)
    assert refused.value.status == 400


def test_parquet_is_refused_by_its_count_before_it_is_unfolded():
    """Equal windows compress to a file that no limit of bytes stops."""
    numbers = pa.repeat(pa.scalar(1e-21, pa.float32()), 1025 * FLAT[0].size)
    column = pa.FixedSizeListArray.from_arrays(numbers, FLAT[0].size)
    body = written(pa.table({"strain": column}))
    assert len(body) < guard.BYTES / 100
    with pytest.raises(guard.Refused, match="at most 1,024 .*received 1,025") as error:
        windows(body, guard.PARQUET)
    assert error.value.status == 413


@pytest.mark.parametrize(
    "columns",
    [
        {"strain": pa.array([["1e-21" * 1000] * FLAT[0].size])},
        dict.fromkeys("ab", pa.array([FLAT[0] * 0])),
    ],
)
def test_parquet_is_refused_by_its_layout_before_it_is_unfolded(columns, monkeypatch):
    """What holds no windows takes no memory."""
    body = written(pa.table(columns), compression="zstd")
    monkeypatch.delattr(pq.ParquetFile, "read")
    with pytest.raises(guard.Refused, match="expected .*; received") as refused:
        windows(body, guard.PARQUET)
    assert refused.value.status == 400


def test_broken_parquet_is_refused():
    with pytest.raises(guard.Refused, match="expected Parquet; it cannot") as refused:
        windows(client.parquet(STRAIN)[:-9], guard.PARQUET)
    assert refused.value.status == 400


DAMAGED = """
import numpy as np
import pandas as pd
from gwres.serve import guard
# With the statistics that the client leaves out.
plain = {"strain": list(np.ones((2, 12288)))}
rng, refused = np.random.default_rng(0), 0
for columns in plain, plain | {"asd": list(np.ones((2, 1539)))}:
    body = pd.DataFrame(columns).to_parquet()
    footer = 8 + int.from_bytes(body[-8:-4], "little")
    for _ in range(2000):
        damaged = bytearray(body)
        for place in rng.integers(len(body) - footer, len(body), 2):
            damaged[place] = rng.integers(256)
        try:
            guard.read(bytes(damaged), guard.PARQUET)
        except guard.Refused:
            refused += 1
print(refused)
"""


def test_a_damaged_footer_is_refused_and_ends_no_process():
    """Some of pyarrow's calls abort at one, which no `except` stops."""
    assert int(fresh(DAMAGED).stdout) > 400
