"""Asks a served model; needs neither MLflow nor TensorFlow."""

import io
import json
import urllib.error
import urllib.request
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gwres.errors import InputError
from gwres.serve.guard import LENGTH, PARQUET
from gwres.strain import SHAPE

URL = "http://127.0.0.1:5001"
# Requests under way at once: while one is scored, the server reads the next.
AHEAD = 2
# Strain has no gaps. Saying so spares both ends a level for every number.
NUMBER = pa.field("element", pa.float32(), nullable=False)
COLUMN = pa.field("strain", pa.list_(NUMBER, LENGTH), nullable=False)


def score(windows, url=URL, batch=64, timeout=60.0):
    """Have a server score windows, the next batch on its way while one is scored.

    Args:
        windows: strain (n, 3, 4096), float32 or float64; an array or what can be sliced
            like one. It is sent as float32, in which the networks compute.
        url: of the server.
        batch: windows in a request; the server refuses more than 1,024.
        timeout: for each request, s.

    Returns:
        DataFrame of n rows: logit, probability, detectors.

    Raises:
        InputError: what the server refused, in its words; or no server answers.
    """
    if not len(windows):
        raise InputError("expected windows to score; received none")
    tables, underway = [], deque()
    with ThreadPoolExecutor(AHEAD) as pool:
        for i in range(0, len(windows), batch):
            if len(underway) == AHEAD:
                tables.append(underway.popleft().result())
            body = parquet(windows[i : i + batch])
            underway.append(pool.submit(ask, body, PARQUET, url, timeout))
        tables += [one.result() for one in underway]
    return pd.concat(tables, ignore_index=True)


def parquet(windows):
    """Windows as the bytes of a Parquet file: one column of flat lists of 12,288."""
    flat = np.ascontiguousarray(windows, dtype=np.float32)
    if flat.ndim != 3 or flat.shape[1:] != SHAPE:
        raise InputError(f"expected strain (n, 3, 4096), received {flat.shape}")
    column = pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), type=COLUMN.type)
    buffer = io.BytesIO()
    # Noise has no repetitions that a dictionary or compression would find, and nobody
    # asks for its extremes or for a part of it.
    pq.write_table(
        pa.table([column], schema=pa.schema([COLUMN])),
        buffer,
        compression="none",
        use_dictionary=False,
        write_statistics=False,
        data_page_size=flat.nbytes + 1,
    )
    return buffer.getvalue()


def ask(body, kind, url=URL, timeout=60.0):
    """Send one request.

    Args:
        body: bytes.
        kind: its content type: application/json or `PARQUET`.
        url: of the server.
        timeout: s.

    Returns:
        DataFrame: logit, probability, detectors.

    Raises:
        InputError: see `score`.
    """
    request = urllib.request.Request(
        f"{url.rstrip('/')}/invocations", body, {"Content-Type": kind}
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return pd.DataFrame(json.load(answer)["predictions"])
    except urllib.error.HTTPError as error:
        text = error.read().decode("utf-8", "replace")
        raise InputError(f"{url} refused, status {error.code}: {_why(text)}") from None
    except (urllib.error.URLError, TimeoutError) as error:
        raise InputError(f"no answer from {url}: {error}") from None


def _why(text):
    """The message in a refusal, without the data that MLflow repeats before it."""
    try:
        text = json.loads(text)["message"]
    except (ValueError, KeyError, TypeError):
        pass
    text = " ".join(text.split())
    return text if len(text) < 1000 else text.rpartition("Error: ")[2][:1000]
