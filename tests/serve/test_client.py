"""What the client sends, and what it says when it is refused."""

import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pytest

from gwres.errors import InputError
from gwres.serve import client

WINDOWS = np.random.default_rng(0).normal(scale=1e-21, size=(5, 3, 4096))
# Windows by the first number of each, for requests may come in any order.
WINDOWS_ORDER = {np.float32(one[0, 0]): place for place, one in enumerate(WINDOWS)}


def logits(body):
    """An answer that tells the windows apart: the first number of each."""
    strain = pd.read_parquet(io.BytesIO(body))["strain"]
    rows = [{"logit": float(one[0])} for one in strain]
    return 200, json.dumps({"predictions": rows}).encode()


@pytest.fixture
def server():
    """A server that keeps what it is sent and answers what it is told to, or `logits`.

    It has a thread for each request.
    """
    received, answers = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, self.headers["Content-Type"], body))
            status, text, *more = answers.pop(0) if answers else logits(body)
            self.send_response(status)
            for name, value in more:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}", received, answers
        listening.shutdown()
        thread.join()


def test_windows_are_sent_in_batches_and_come_back_in_their_order(server):
    url, received, _ = server
    scored = client.score(WINDOWS, url, batch=2)
    sent = WINDOWS.astype(np.float32)
    assert scored["logit"].tolist() == sent[:, 0, 0].tolist()
    assert scored.index.tolist() == [0, 1, 2, 3, 4]
    assert {(path, kind) for path, kind, _ in received} == {
        ("/invocations", client.PARQUET)
    }
    tables = [pd.read_parquet(io.BytesIO(body)) for *_, body in received]
    assert sorted(map(len, tables)) == [1, 2, 2]


def test_what_is_sent_is_the_strain_in_single_precision():
    table = pd.read_parquet(io.BytesIO(client.parquet(WINDOWS)))
    sent = np.stack(table["strain"].tolist()).reshape(5, 3, 4096)
    assert sent.dtype == np.float32
    assert (sent == WINDOWS.astype(np.float32)).all()


@pytest.mark.parametrize("common", [False, True])
def test_asds_are_sent_with_their_windows(server, common):
    asds = np.random.default_rng(1).uniform(1e-23, 1e-22, (5, 3, 513))
    url, received, _ = server
    client.score(WINDOWS, url, batch=2, asds=asds[0] if common else asds)
    sent = [pd.read_parquet(io.BytesIO(body)) for *_, body in received]
    table = pd.concat(sorted(sent, key=lambda one: WINDOWS_ORDER[one["strain"][0][0]]))
    expected = np.repeat(asds[:1], 5, 0) if common else asds
    found = np.stack(table["asd"].tolist()).reshape(5, 3, 513)
    assert found.dtype == np.float32
    assert (found == expected.astype(np.float32)).all()


@pytest.mark.parametrize("shape", [(4, 3, 513), (6, 3, 513), (3, 512), (1539,)])
def test_asds_of_other_shapes_are_refused_before_anything_is_sent(server, shape):
    url, received, _ = server
    with pytest.raises(InputError, match=r"\(5, 3, 513\), or .*; received \(\d"):
        client.score(WINDOWS, url, batch=2, asds=np.full(shape, 1e-23))
    with pytest.raises(InputError, match="received"):
        client.parquet(WINDOWS, np.full(shape, 1e-23))
    assert not received


def test_a_batch_is_on_its_way_while_another_is_scored(server, monkeypatch):
    """The first is answered when the second has come, as no later one would be."""
    both, ask = threading.Barrier(client.AHEAD, timeout=20), client.ask

    def together(*arguments):
        both.wait()
        return ask(*arguments)

    monkeypatch.setattr(client, "ask", together)
    assert len(client.score(WINDOWS[:4], server[0], batch=1)) == 4


def test_a_refusal_is_told_in_the_server_s_words(server):
    url, _, answers = server
    long = "x" * 5000
    answers += [
        (400, f'{{"message": "data {long}. \\nError: window 1: zeros"}}'.encode()),
        (415, b"only Parquet"),
    ]
    with pytest.raises(InputError, match="status 400: window 1: zeros$"):
        client.score(WINDOWS, url)
    with pytest.raises(InputError, match="status 415: only Parquet$"):
        client.score(WINDOWS, url)


def test_a_server_that_is_full_is_asked_again_when_it_says_so(server, monkeypatch):
    url, received, answers = server
    slept = []
    monkeypatch.setattr(client.time, "sleep", slept.append)
    full = 503, b'{"message": "full"}', ("Retry-After", "2")
    answers += [full, full]
    assert len(client.score(WINDOWS[:1], url)) == 1
    assert len(received) == 3 and len(slept) == 2
    assert all(2 <= wait <= 3 for wait in slept)


@pytest.mark.parametrize(
    ("status", "told"), [(503, "99"), (503, "soon"), (503, ""), (500, "1")]
)
def test_a_server_that_stays_full_or_fails_is_not_asked_again(server, status, told):
    """Longer than the timeout is too long; what is no time is none."""
    url, received, answers = server
    answers += [(status, b'{"message": "full"}', ("Retry-After", told))]
    with pytest.raises(InputError, match=f"status {status}: full$"):
        client.score(WINDOWS[:1], url, timeout=20)
    assert len(received) == 1


def test_wrong_windows_and_absent_servers(server):
    url = server[0]
    with pytest.raises(InputError, match=r"received \(3, 4096\)"):
        client.parquet(WINDOWS[0])
    with pytest.raises(InputError, match="received none"):
        client.score(WINDOWS[:0], url)
    with pytest.raises(InputError, match="no answer from http://127.0.0.1:9"):
        client.score(WINDOWS, "http://127.0.0.1:9")
