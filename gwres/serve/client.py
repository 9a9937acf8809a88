"""Asks a served model; needs neither MLflow nor TensorFlow."""

import io
import json
import random
import time
import urllib.error
import urllib.request
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from gwres.errors import InputError
from gwres.serve.guard import ASD, ASD_LENGTH, LENGTH, PARQUET
from gwres.strain import ASD_SHAPE, SHAPE

URL = "http://127.0.0.1:5001"
# Requests under way at once: while one is scored, the server reads the next.
AHEAD = 2
# Strain has no gaps. Saying so spares both ends a level for every number.
NUMBER = pa.field("element", pa.float32(), nullable=False)
COLUMN = pa.field("strain", pa.list_(NUMBER, LENGTH), nullable=False)
ASDS = pa.field(ASD, pa.list_(NUMBER, ASD_LENGTH), nullable=False)


def score(windows, url=URL, batch=64, timeout=60.0, asds=None):
    """Have a server score windows, the next batch on its way while one is scored.

    Args:
        windows: strain (n, 3, 4096), float32 or float64; an array or what can be sliced
            like one. It is sent as float32, in which the networks compute.
        url: of the server.
        batch: windows in a request; the server refuses more than 1,024.
        timeout: for each request, s.
        asds: one-sided ASD of each window's noise, (n, 3, 513), strain/sqrt(Hz), every
            Hz from 0 to 512 Hz, or one for all windows, (3, 513); None for the model's
            own. MLflow's server takes none in Parquet and refuses it.

    Returns:
        DataFrame of n rows: logit, probability, detectors.

    Raises:
        InputError: no windows, or ASDs of another shape; what the server refused, in
            its words; or no server answers.
    """
    if not len(windows):
        raise InputError("expected windows to score; received none")
    if asds is not None:
        _check_shape(asds, len(windows))
    common = asds is None or np.shape(asds) == ASD_SHAPE
    tables, underway = [], deque()
    with ThreadPoolExecutor(AHEAD) as pool:
        for i in range(0, len(windows), batch):
            if len(underway) == AHEAD:
                tables.append(underway.popleft().result())
            known = asds if common else asds[i : i + batch]
            body = parquet(windows[i : i + batch], known)
            underway.append(pool.submit(ask, body, PARQUET, url, timeout))
        tables += [one.result() for one in underway]
    return pd.concat(tables, ignore_index=True)


def parquet(windows, asds=None):
    """Windows as the bytes of a Parquet file: one column of flat lists of 12,288.

    Args:
        windows: strain (n, 3, 4096).
        asds: (n, 3, 513), or (3, 513) for all, which become a second column, of flat
            lists of 1,539; see `score`.
    """
    flat = np.ascontiguousarray(windows, dtype=np.float32)
    if flat.ndim != 3 or flat.shape[1:] != SHAPE:
        raise InputError(f"expected strain (n, 3, 4096), received {flat.shape}")
    columns = {COLUMN: flat}
    if asds is not None:
        _check_shape(asds, len(flat))
        known = np.asarray(asds, dtype=np.float32)
        columns[ASDS] = np.broadcast_to(known, (len(flat), *ASD_SHAPE))
    buffer = io.BytesIO()
    # Noise has no repetitions that a dictionary or compression would find, and nobody
    # asks for its extremes or for a part of it.
    pq.write_table(
        pa.table(
            [
                pa.FixedSizeListArray.from_arrays(
                    pa.array(one.ravel()), type=field.type
                )
                for field, one in columns.items()
            ],
            schema=pa.schema(list(columns)),
        ),
        buffer,
        compression="none",
        use_dictionary=False,
        write_statistics=False,
        data_page_size=flat.nbytes + 1,
    )
    return buffer.getvalue()


def _check_shape(asds, count):
    """Refuse ASDs that are neither of each window nor one for all."""
    each = count, *ASD_SHAPE
    if np.shape(asds) not in (each, ASD_SHAPE):
        raise InputError(
            f"expected ASDs {each}, or one for all windows, {ASD_SHAPE}; received "
            f"{np.shape(asds)}"
        )


def ask(body, kind, url=URL, timeout=60.0):
    """Send one request; where the server is full, again when it says so.

    Args:
        body: bytes.
        kind: its content type: application/json or `PARQUET`.
        url: of the server.
        timeout: s, of one attempt, and of all those that find the server full.

    Returns:
        DataFrame: logit, probability, detectors.

    Raises:
        InputError: see `score`.
    """
    request = urllib.request.Request(
        f"{url.rstrip('/')}/invocations", body, {"Content-Type": kind}
    )
    until = time.monotonic() + timeout
    try:
        while True:
            try:
                with urllib.request.urlopen(request, timeout=timeout) as answer:
                    return pd.DataFrame(json.load(answer)["predictions"])
            except urllib.error.HTTPError as error:
                wait = _wait(error)
                if wait is None or time.monotonic() + wait > until:
                    raise
                error.close()
            time.sleep(wait)
    except urllib.error.HTTPError as error:
        text = error.read().decode("utf-8", "replace")
        raise InputError(f"{url} refused, status {error.code}: {_why(text)}") from None
    except (urllib.error.URLError, TimeoutError) as error:
        raise InputError(f"no answer from {url}: {error}") from None


def _wait(error):
    """Seconds until a server that is full may be asked again; None for other errors.

    A little more, by chance, for not all who wait should come back at once.
    """
    told = error.headers.get("Retry-After", "")
    if error.code != 503 or not told.isdecimal():
        return None
    return int(told) * random.uniform(1.0, 1.5)


def _why(text):
    """The message in a refusal, without the data that MLflow repeats before it."""
    try:
        text = json.loads(text)["message"]
    except (ValueError, KeyError, TypeError):
        pass
    text = " ".join(text.split())
    return text if len(text) < 1000 else text.rpartition("Error: ")[2][:1000]
