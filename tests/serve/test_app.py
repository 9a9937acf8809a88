"""gwres's own server, asked over a real socket."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest

import gwres
from gwres.errors import InputError
from gwres.serve import client, guard
from gwres.serve.app import AT_WORK, HELD, _Queue, application
from gwres.strain import check_all
from tests.serve.listening import listening

STRAIN = np.random.default_rng(0).normal(scale=1e-21, size=(2, 3, 4096))
SLOW, BROKEN, URI = 7e-21, 8e-21, "models:/net/1"


class Scorer:
    """Answers each window's first sample.

    Windows that begin with `SLOW` wait until they are let go; `BROKEN` ones raise.
    """

    def __init__(self):
        self.go, self.begun = threading.Event(), []

    def rows(self, windows, asds=None):
        if windows.ndim != 3 or windows.shape[1:] != (3, 4096):
            raise InputError(f"expected strain (n, 3, 4096), received {windows.shape}")
        check_all(windows)
        first = windows[0, 0, 0]
        self.begun.append(first)
        if first == SLOW:
            self.go.wait(60)
        if first == BROKEN:
            raise RuntimeError("no cores left")
        return [
            {"logit": float(one[0, 0]), "probability": 0.5, "detectors": "H1"}
            for one in windows
        ]


@contextmanager
def served(timeout, **options):
    """A server of a `Scorer`: its address, and the scorer."""
    scorer = Scorer()
    with listening(application(scorer, URI, timeout, **options)) as address:
        try:
            yield address, scorer
        finally:
            scorer.go.set()


@pytest.fixture(scope="module")
def server():
    with served(timeout=60.0) as both:
        yield both


@pytest.fixture
def address(server):
    """Host and port."""
    return server[0]


def send(address, body=None, path="/invocations", method="POST", **headers):
    """A request; (status, text) of the answer."""
    connection = http.client.HTTPConnection(*address, timeout=60)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.fixture
def ask(address):
    """`send` to the server."""
    return partial(send, address)


def beginning(value):
    """A window whose first sample is the value."""
    window = ONE.copy()
    window[0, 0, 0] = value
    return window


def as_json(windows):
    return json.dumps({"inputs": np.asarray(windows).tolist()}).encode()


def test_json_and_parquet_are_answered_alike(ask):
    expected = [float(np.float32(one[0, 0])) for one in STRAIN]
    for body, kind in (
        (as_json(STRAIN), guard.JSON),
        (client.parquet(STRAIN), guard.PARQUET),
    ):
        status, text = ask(body, content_type=kind)
        rows = json.loads(text)["predictions"]
        assert status == 200
        assert [row["logit"] for row in rows] == pytest.approx(expected, rel=1e-6)
        assert set(rows[0]) == {"logit", "probability", "detectors"}


def test_the_client_is_answered_in_batches(address):
    url = "http://{}:{}".format(*address)
    scored = client.score(np.concatenate([STRAIN] * 5), url, batch=3)
    assert len(scored) == 10
    assert scored["logit"].tolist() == pytest.approx(
        [float(np.float32(one[0, 0])) for one in STRAIN] * 5
    )


ONE = STRAIN[:1]
NAN = np.where(np.arange(4096) == 5, np.nan, ONE)
REFUSED = [
    (400, "it cannot be read", b"{hello", guard.JSON),
    (400, "(1, 2, 4096)", as_json(ONE[:, :2]), guard.JSON),
    (400, "(3, 4096)", as_json(ONE[0]), guard.JSON),
    (400, "'a'", as_json([[["a"] * 4096] * 3]), guard.JSON),
    (400, "expected numbers", as_json(ONE.astype(str)), guard.JSON),
    (400, "unequal length", as_json(ONE)[:-4] + b", 0]]]}", guard.JSON),
    (400, "window 0: expected finite strain", as_json(NAN), guard.JSON),
    (400, "window 0: expected finite strain", client.parquet(NAN), guard.PARQUET),
    (400, "zeros in all detectors", as_json(ONE * 0), guard.JSON),
    (400, "whitened or rescaled", as_json(ONE * 1e21), guard.JSON),
    (400, "(0,)", as_json([]), guard.JSON),
    (400, "recursion", b'{"inputs":' + b"[" * 100_000, guard.JSON),
    (400, "expected Parquet", b"hello", guard.PARQUET),
    (413, "received 1,025", client.parquet(np.repeat(ONE, 1025, 0)), guard.PARQUET),
    (413, "received 1,025", as_json([[0]] * 1025), guard.JSON),
    (415, "received text/xml", b"<strain/>", "text/xml"),
]


@pytest.mark.parametrize(("status", "message", "body", "kind"), REFUSED)
def test_bad_requests_are_refused_with_a_message(ask, status, message, body, kind):
    answer, text = ask(body, content_type=kind)
    refusal = json.loads(text)
    assert (answer, refusal["error_code"]) == (status, "BAD_REQUEST")
    assert message in refusal["message"]
    assert ask(as_json(ONE), content_type=guard.JSON)[0] == 200, "it goes on"


def test_too_large_a_body_is_read_to_its_end_before_it_is_refused(address):
    """Who still sends hears why, in place of a broken connection."""
    url = "http://{}:{}".format(*address)
    more = client.parquet(np.broadcast_to(ONE.astype("f4"), (3000, 3, 4096)))
    assert len(more) > guard.BYTES
    with pytest.raises(InputError, match=r"status 413: .*134,217,728 bytes; rec.*147"):
        client.ask(more, client.PARQUET, url)


def everything(connection):
    """All bytes of a connection, until the other side ends it."""
    return b"".join(iter(lambda: connection.recv(4096), b""))


@pytest.mark.parametrize(("length", "status"), [(1000, 504), (999_999_999, 413)])
def test_who_stops_sending_is_answered_in_time(length, status):
    head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: {guard.JSON}\r\n"
    with (
        served(timeout=0.3) as (address, _),
        socket.create_connection(address, timeout=20) as connection,
    ):
        connection.sendall(f"{head}Content-Length: {length}\r\n\r\n{{".encode())
        answer = everything(connection)
        assert f" {status} ".encode() in answer.splitlines()[0]
        assert b"\r\nconnection: close\r\n" in answer
        _, text = send(address, path="/metrics", method="GET")
        assert f'gwres_requests_total{{status="{status}"}} 1.0' in text
        assert "gwres_requests_in_flight 0.0" in text


def test_who_asks_first_is_told_before_anything_is_sent(address):
    head = (
        "POST /invocations HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
        f"Content-Type: {guard.JSON}\r\nContent-Length: 999999999\r\n\r\n"
    )
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(head.encode())
        assert b" 413 " in everything(connection).splitlines()[0]


def test_a_body_without_a_length_is_refused(address):
    connection = http.client.HTTPConnection(*address, timeout=10)
    connection.request(
        "POST", "/invocations", iter([b"{", b"}"]), {"Content-Type": guard.JSON}
    )
    assert connection.getresponse().status == 411
    connection.close()


def test_a_body_longer_than_it_says_is_refused(address):
    """In chunks, it would be read to its end whatever its length was said to be."""
    body = as_json(ONE)
    head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: {guard.JSON}\r\n"
    head += "Content-Length: 5\r\n"
    chunked = (
        f"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n{len(body):x}\r\n"
    )
    # Without chunks, what is over is another request, which is none.
    for sent, statuses in (
        (chunked.encode() + body + b"\r\n0\r\n\r\n", [b"411"]),
        (b"\r\n{}   and more\r\n\r\n", [b"400", b"400"]),
    ):
        with socket.create_connection(address, timeout=10) as connection:
            connection.sendall(head.encode() + sent)
            answers = everything(connection)
        assert re.findall(rb"HTTP/1.1 (\d+)", answers) == statuses


def test_who_leaves_in_the_middle_harms_nobody(address, ask):
    head = f"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: {guard.JSON}\r\n"
    with socket.create_connection(address) as connection:
        connection.sendall(f"{head}Content-Length: 1000\r\n\r\n{{".encode())
    assert ask(as_json(ONE), content_type=guard.JSON)[0] == 200


def test_others_are_answered_while_a_request_is_scored(server, ask):
    slow, answers = beginning(SLOW), []
    waiting = threading.Thread(
        target=lambda: answers.append(ask(as_json(slow), content_type=guard.JSON))
    )
    waiting.start()
    for _ in range(600):
        if "in_flight 1.0" in ask(path="/metrics", method="GET")[1]:
            break
        time.sleep(0.05)
    else:
        raise AssertionError("the request is not under way")
    assert ask(path="/health", method="GET")[0] == 200
    assert not answers, "health did not wait for the networks"
    server[1].go.set()
    waiting.join()
    [(status, text)] = answers
    assert status == 200
    assert json.loads(text)["predictions"][0]["logit"] == pytest.approx(SLOW)


def test_a_request_that_takes_too_long_is_given_up():
    slow = as_json(beginning(SLOW))
    with served(timeout=0.3) as (address, scorer), ThreadPoolExecutor(5) as pool:
        ask = partial(send, address, content_type=guard.JSON)
        answers = list(pool.map(ask, [slow] * 5))
        scorer.go.set()
        assert ask(as_json(ONE))[0] == 200
    for status, text in answers:
        refusal = json.loads(text)
        assert status == 504 and "in 0.3 s" in refusal["message"]
        assert refusal["error_code"] == "DEADLINE_EXCEEDED"
    assert scorer.begun.count(SLOW) <= AT_WORK, "who is late is not scored"


def test_a_full_queue_says_when_to_ask_again():
    """Nobody's body is kept beyond those admitted, and places come free again."""
    slow, admitted = as_json(beginning(SLOW)), 3
    with (
        served(timeout=20.0, admitted=admitted) as (address, scorer),
        ThreadPoolExecutor(admitted) as pool,
    ):
        ask = partial(send, address, content_type=guard.JSON)
        inside = [pool.submit(ask, slow) for _ in range(admitted)]
        for _ in range(400):
            _, text = send(address, path="/metrics", method="GET")
            if f"in_flight {admitted:.1f}" in text:
                break
            time.sleep(0.05)
        connection = http.client.HTTPConnection(*address, timeout=20)
        connection.request(
            "POST", "/invocations", as_json(ONE), {"Content-Type": guard.JSON}
        )
        answer = connection.getresponse()
        refusal = json.loads(answer.read())
        connection.close()
        assert answer.status == 503
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        assert refusal["error_code"] == "TEMPORARILY_UNAVAILABLE"
        assert "at most 3 requests at once" in refusal["message"]
        assert send(address, path="/health", method="GET")[0] == 200
        scorer.go.set()
        assert {one.result()[0] for one in inside} == {200}
        assert ask(as_json(ONE))[0] == 200
        _, text = send(address, path="/metrics", method="GET")
        assert 'gwres_requests_total{status="503"} 1.0' in text


def test_large_bodies_take_more_of_the_queue():
    """However few they are: they would all be in memory."""
    queue = _Queue(10)
    with queue.place(HELD - 5):
        with pytest.raises(guard.Refused, match="bytes together") as refused:
            with queue.place(6):
                raise AssertionError("there is no place")
        assert refused.value.status == 503
        with queue.place(5):
            pass
    with queue.place(6):
        assert queue.inside == 1 and queue.held == 6
    assert queue.inside == queue.held == 0


def test_the_wait_follows_what_requests_take():
    queue = _Queue(10)
    for _ in range(100):
        queue.took(3.0)
    assert queue.wait() == 1
    with queue.place(1), queue.place(1):
        assert queue.wait() == 6
    for _ in range(100):
        queue.took(300.0)
    with queue.place(1):
        assert queue.wait() == 60, "no longer than a client has patience"


def test_eight_clients_at_once_are_all_answered(address):
    """Each its own windows, through one pool, a hundred requests."""
    url = "http://{}:{}".format(*address)
    firsts = np.linspace(1e-21, 2e-21, 100)

    def ask(first):
        body = client.parquet(beginning(first))
        return client.ask(body, client.PARQUET, url)["logit"][0]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, firsts))
    assert found == pytest.approx(firsts, rel=1e-6)


def test_more_clients_than_places_are_all_answered_in_the_end():
    """They ask again when they are told to, for as long as they have time."""
    with (
        served(timeout=20.0, admitted=2) as (address, _),
        ThreadPoolExecutor(8) as pool,
    ):
        url = "http://{}:{}".format(*address)
        body = client.parquet(STRAIN)
        asked = [pool.submit(client.ask, body, client.PARQUET, url) for _ in range(40)]
        assert {len(one.result()) for one in asked} == {len(STRAIN)}


def test_a_defect_is_answered_and_counted(ask):
    status, text = ask(as_json(beginning(BROKEN)), content_type=guard.JSON)
    assert (status, json.loads(text)["error_code"]) == (500, "INTERNAL_ERROR")
    assert 'total{status="500"} 1.0' in ask(path="/metrics", method="GET")[1]
    assert ask(as_json(ONE), content_type=guard.JSON)[0] == 200, "it goes on"


def test_it_says_what_it_is(ask):
    assert ask(path="/ping", method="GET")[0] == 200
    status, text = ask(path="/health", method="GET")
    assert (status, json.loads(text)) == (200, {"status": "ok", "model": URI})
    assert ask(path="/version", method="GET") == (200, gwres.__version__)
    assert ask(path="/docs", method="GET")[0] == 200
    assert ask(path="/nowhere", method="GET")[0] == 404


def test_metrics_count_requests_and_windows(ask):
    def counts():
        _, text = ask(path="/metrics", method="GET")
        pattern = r"^(gwres_\w+(?:{[^}]*})?) ([\d.e+-]+)$"
        return {k: float(v) for k, v in re.findall(pattern, text, re.MULTILINE)}

    ask(b"{", content_type=guard.JSON)
    before = counts()
    ask(as_json(STRAIN), content_type=guard.JSON)
    ask(b"{", content_type=guard.JSON)
    after = counts()
    assert after["gwres_windows_total"] == before["gwres_windows_total"] + 2
    for status, more in (("200", 1), ("400", 1)):
        name = f'gwres_requests_total{{status="{status}"}}'
        assert after[name] == before.get(name, 0) + more
    name = "gwres_scoring_seconds_count"
    assert after[name] == before[name] + 1


def test_the_openapi_page_tells_bodies_answers_and_refusals(ask):
    status, text = ask(path="/openapi.json", method="GET")
    route = json.loads(text)["paths"]["/invocations"]["post"]
    assert status == 200
    assert set(route["requestBody"]["content"]) == {guard.JSON, guard.PARQUET}
    statuses = {"200", "400", "411", "413", "415", "500", "503", "504"}
    assert statuses <= set(route["responses"])
    held = route["requestBody"]["content"][guard.JSON]["schema"]["properties"]
    assert set(held) == {*guard.NAMES, "asd", "params"}
    one = held["asd"]["oneOf"][1]
    assert (one["minItems"], one["items"]["maxItems"]) == (3, 513)
    assert held["params"]["properties"]["asd"] == held["asd"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well(number, tmp_path):
    """Exit code 0, and nobody listens any more."""
    code = f"""
import logging, os, sys, threading
sys.path.insert(0, {str(os.getcwd())!r})
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
from gwres.jobs import serve
class Scorer:
    def rows(self, windows, asds=None): return []
serve.registry.pin = lambda model: model
serve.registered.load = lambda uri: Scorer()
serve.serve("net", "127.0.0.1", {free()}, 5.0)
print("ended")
"""
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, text=True
    )
    line = next(line for line in process.stdout if "serving net at http" in line)
    host, port = re.search(r"//([\d.]+):(\d+)", line).groups()
    for _ in range(100):
        try:
            socket.create_connection((host, int(port)), 1).close()
            break
        except OSError:
            time.sleep(0.05)
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0 and output.endswith("ended\n")
    with pytest.raises(OSError):
        socket.create_connection((host, int(port)), 1)


def free():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]
