"""What the client sends, and what it says when it is refused."""

import io
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pandas as pd
import pytest

from gwres import client
from gwres.errors import InputError

WINDOWS = np.random.default_rng(0).normal(scale=1e-21, size=(5, 3, 4096))


@pytest.fixture
def server():
    """A server that keeps what it is sent and answers what it is told to."""
    received, answers = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, self.headers["Content-Type"], body))
            status, text = answers.pop(0)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}", received, answers
        found.shutdown()
        thread.join()


def test_windows_are_sent_in_batches_and_come_back_as_they_were(server):
    url, received, answers = server
    for logits in ([1, 2], [3, 4], [5]):
        rows = ", ".join(f'{{"logit": {value}}}' for value in logits)
        answers.append((200, f'{{"predictions": [{rows}]}}'.encode()))
    found = client.score(WINDOWS, url, batch=2)
    assert found["logit"].tolist() == [1, 2, 3, 4, 5]
    assert {(path, kind) for path, kind, _ in received} == {
        ("/invocations", client.PARQUET)
    }
    tables = [pd.read_parquet(io.BytesIO(body)) for *_, body in received]
    sent = np.stack(pd.concat(tables)["strain"].tolist()).reshape(5, 3, 4096)
    assert sent.dtype == np.float32
    assert (sent == WINDOWS.astype(np.float32)).all()


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


def test_wrong_windows_and_absent_servers(server):
    url = server[0]
    with pytest.raises(InputError, match=r"received \(3, 4096\)"):
        client.parquet(WINDOWS[0])
    with pytest.raises(InputError, match="received none"):
        client.score(WINDOWS[:0], url)
    with pytest.raises(InputError, match="no answer from http://127.0.0.1:9"):
        client.score(WINDOWS, "http://127.0.0.1:9")
