"""What a server adds to the networks' own time, and what it bears.

Starts both servers itself, gwres's own (`-e serve`) and `mlflow models serve`, on a
registered model, one after the other, and asks each over loopback: single windows as
JSON and as Parquet, batches of 64 one by one and as `client.score` sends them, two
under way at once, and many clients at once. The members' own time is taken in this
process, one member after the other, by the compiled graph that each would have alone,
in turn with what is asked. Everything is measured in one run on the same machine, so
the ratios hold where the figures do not.

    python -m benchmarks.serving [model] [seconds under load]
"""

import functools
import itertools
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import keras
import numpy as np
import psutil
import tensorflow as tf

import gwres.models.classifier  # noqa: F401  registers the layers with Keras
from gwres.serve import client
from gwres.simulate.noise import noise
from gwres.strain import SHAPE
from gwres.tracking import registry

os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

BATCH = 64
# Clients at once, and seconds; None: as long as the command says.
LOADS = ((8, None), (64, 10.0))
BATCHES = 10  # that `client.score` is given
REPEATS = 100


def timed(calls, repeats):
    """Median seconds of each call, all in turn, so that a busy machine slows all alike.

    Args:
        calls: dict of name to function.
        repeats: of each; three more come first and are left out.

    Returns:
        dict of name to seconds.
    """
    taken = {name: [] for name in calls}
    for _ in range(repeats + 3):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            taken[name].append(time.perf_counter() - start)
    return {name: np.median(all_of[3:]) for name, all_of in taken.items()}


def members(model):
    """The classifiers of a registered model, each as a graph of its own."""
    shape = tf.TensorSpec((None, *SHAPE), tf.float32)
    with registry.files(registry.pin(model)) as files:
        return [
            tf.function(keras.models.load_model(path), input_signature=[shape])
            for name, path in sorted(files.items())
            if name != "stack"
        ]


SERVERS = {
    "gwres": "gwres.mlproject.serve --model {model} --port {port}",
    "MLflow": "mlflow models serve -m {uri} --env-manager local -p {port}",
}


class Server:
    """One of `SERVERS` on a free port of the loopback."""

    def __init__(self, name, model):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        named = {"model": model, "uri": registry.pin(model), "port": port}
        words = SERVERS[name].format(**named).split()
        self.url = f"http://127.0.0.1:{port}"
        self.log = tempfile.NamedTemporaryFile("w", suffix=".log", delete=False)
        # MLflow starts uvicorn by name, which lies beside this interpreter.
        beside = str(Path(sys.executable).parent)
        environment = {"PATH": os.pathsep.join([beside, os.environ["PATH"]])}
        self.process = subprocess.Popen(
            [sys.executable, "-m", *words],
            env=os.environ | environment | {"TF_CPP_MIN_LOG_LEVEL": "3"},
            stdout=self.log,
            stderr=self.log,
        )

    def __enter__(self):
        """Wait until it answers."""
        for _ in range(1200):
            try:
                urllib.request.urlopen(f"{self.url}/ping", timeout=1)
                return self
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.1)
        self.__exit__()
        raise RuntimeError(f"no answer from {self.url}; see {self.log.name}")

    def __exit__(self, *error):
        """End it and its children."""
        if self.process.poll() is None:
            parent = psutil.Process(self.process.pid)
            for process in [*parent.children(recursive=True), parent]:
                process.terminate()
            self.process.wait()
        self.log.close()

    def memory(self):
        """Resident memory, bytes."""
        parent = psutil.Process(self.process.pid)
        family = [*parent.children(recursive=True), parent]
        return sum(process.memory_info().rss for process in family)


def load(server, body, seconds, clients):
    """Many clients at once, each asking again when it is answered.

    One that finds the server full waits as it is told, see `client.ask`; that it waited
    is in the seconds of its request.

    Returns:
        (seconds of each request, errors, memory at start, middle and end in bytes).
    """
    taken, errors, until = [], [], time.monotonic() + seconds

    def ask():
        while time.monotonic() < until:
            start = time.perf_counter()
            try:
                client.ask(body, client.PARQUET, server.url)
                taken.append(time.perf_counter() - start)
            except Exception as error:  # every one is counted and shown
                errors.append(str(error))

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    memory = [server.memory()]
    for thread in threads:
        thread.start()
    for _ in range(2):
        time.sleep(seconds / 2)
        memory.append(server.memory())
    for thread in threads:
        thread.join()
    return np.array(taken), errors, memory


def turned_away(server):
    """Requests that found the server full since it began; 0 where it does not count."""
    try:
        with urllib.request.urlopen(f"{server.url}/metrics", timeout=10) as answer:
            text = answer.read().decode()
    except urllib.error.HTTPError:
        return 0
    found = re.search(r'^gwres_requests_total{status="503"} (\S+)', text, re.MULTILINE)
    return int(float(found.group(1))) if found else 0


def row(name, value, note=""):
    """Print one figure."""
    print(f"{name:<44}{value:>16}   {note}", flush=True)


def rates(name, networks, batches, served, repeats):
    """Print the windows per second of the networks alone, and served.

    Args:
        name: of the way in which they are served.
        networks: as `members` gives them.
        batches: list of strain (n, 3, 4096).
        served: function that has all of the batches scored.
        repeats: how often each is timed.
    """
    calls = {"members": lambda: [one_by_one(networks, part) for part in batches]}
    seconds = timed(calls | {"served": served}, repeats)
    count = sum(map(len, batches))
    what = f"{len(batches)} x {len(batches[0])} windows"
    row(f"{len(networks)} members, {what}", f"{count / seconds['members']:.0f} /s")
    share = f"{100 * seconds['members'] / seconds['served']:.0f}% of the members' own"
    row(f"{what}, Parquet, {name}", f"{count / seconds['served']:.0f} /s", share)


def one_by_one(networks, windows):
    """The networks one after the other."""
    for network in networks:
        network(windows)


def main(model, seconds):
    """Measure both servers and print."""
    networks = members(model)
    for name in SERVERS:
        print(f"{name}'s server", flush=True)
        with Server(name, model) as server:
            measure(server, networks, seconds)


def measure(server, networks, seconds):
    """Ask one server, and print what it does beside the members alone."""
    windows = noise(np.random.default_rng(0), BATCH)
    one, many = windows[:1].astype(np.float32), windows.astype(np.float32)
    text = json.dumps({"inputs": windows[:1].tolist()}).encode()

    def ask(body, kind=client.PARQUET):
        return lambda: client.ask(body, kind, server.url)

    single = {"members": lambda: one_by_one(networks, one)}
    single["Parquet"] = ask(client.parquet(one))
    single["JSON"] = ask(text, "application/json")
    single = {name: 1e3 * s for name, s in timed(single, REPEATS).items()}
    row(f"{len(networks)} members, one window", f"{single['members']:.1f} ms")
    allowed = f"2 x members + 10 ms: {2 * single['members'] + 10:.1f} ms"
    for name in ("Parquet", "JSON"):
        row(f"one window, {name}", f"{single[name]:.1f} ms", allowed)
    long = np.concatenate([many] * BATCHES)
    parts = np.split(long, BATCHES)
    rates("one by one", networks, [many], ask(client.parquet(many)), REPEATS)
    whole = functools.partial(client.score, long, server.url, BATCH)
    rates("client.score", networks, parts, whole, REPEATS // BATCHES)
    for count, (clients, limit) in itertools.product((1, BATCH), LOADS):
        lasting = limit or seconds
        body, before = client.parquet(many[:count]), turned_away(server)
        taken, errors, memory = load(server, body, lasting, clients)
        row(
            f"{clients} clients, {count} windows each, {lasting:g} s",
            f"{len(taken)} answers",
            f"{len(errors)} errors {errors[:1] or ''}",
        )
        row("  told to ask again", f"{turned_away(server) - before}")
        middle, last = 1e3 * np.quantile(taken, [0.5, 0.99])
        row("  median, 99th percentile", f"{middle:.0f}, {last:.0f} ms")
        shown = ", ".join(f"{size / 1e6:.0f}" for size in memory)
        row("  memory before, half-way, after", f"{shown} MB")


if __name__ == "__main__":
    chosen = sys.argv[1] if len(sys.argv) > 1 else "gwres-ensemble@champion"
    main(chosen, float(sys.argv[2]) if len(sys.argv) > 2 else 60.0)
