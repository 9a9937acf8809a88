"""What `mlflow models serve` adds to the networks' own time, and what it bears.

Starts the server itself, on a registered model, and asks it over loopback: single
windows as JSON and as Parquet, batches of 64, and many clients at once. The members'
own time is taken in this process, one member after the other, by the compiled graph
that each would have alone. Everything is measured in one run on the same machine, so
the ratios hold where the figures do not.

    python -m benchmarks.serving [model] [seconds under load]
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import keras
import mlflow
import numpy as np
import psutil
import tensorflow as tf

import gwres.models.classifier  # noqa: F401  registers the layers with Keras
from gwres import client
from gwres.simulate.noise import noise
from gwres.strain import SHAPE

BATCH, CLIENTS = 64, 8
REPEATS = 100


def timed(call, repeats):
    """Seconds of each of many calls, the first few left out."""
    for _ in range(3):
        call()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return np.array(taken)


def members(model):
    """The classifiers of a registered model, each as a graph of its own."""
    local = mlflow.artifacts.download_artifacts(f"models:/{model}")
    files = sorted(Path(local, "artifacts").rglob("*.keras"))
    shape = tf.TensorSpec((None, *SHAPE), tf.float32)
    return [
        tf.function(keras.models.load_model(file), input_signature=[shape])
        for file in files
    ]


class Server:
    """`mlflow models serve` on a free port of the loopback."""

    def __init__(self, model):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "mlflow", "models", "serve"]
        command += ["-m", f"models:/{model}", "--env-manager", "local"]
        self.url = f"http://127.0.0.1:{port}"
        self.log = open("serving.log", "w")
        self.process = subprocess.Popen(
            [*command, "-p", str(port)],
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
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
                time.sleep(0.1)
        raise TimeoutError(f"no answer from {self.url}; see {self.log.name}")

    def __exit__(self, *error):
        """End it and its children."""
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


def load(server, body, seconds):
    """Many clients at once, each asking again when it is answered.

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

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    memory = [server.memory()]
    for thread in threads:
        thread.start()
    for _ in range(2):
        time.sleep(seconds / 2)
        memory.append(server.memory())
    for thread in threads:
        thread.join()
    return np.array(taken), errors, memory


def row(name, value, note=""):
    """Print one figure."""
    print(f"{name:<44}{value:>16}   {note}", flush=True)


def main(model, seconds):
    """Measure and print."""
    windows = noise(np.random.default_rng(0), BATCH)
    one, many = windows[:1].astype(np.float32), windows.astype(np.float32)
    networks = members(model)
    single = sum(np.median(timed(lambda n=n: n(one), REPEATS)) for n in networks)
    whole = sum(np.median(timed(lambda n=n: n(many), REPEATS // 4)) for n in networks)
    row(f"{len(networks)} members, one window", f"{1e3 * single:.1f} ms")
    row(f"{len(networks)} members, {BATCH} windows", f"{BATCH / whole:.0f} /s")
    with Server(model) as server:
        text = json.dumps({"inputs": windows[:1].tolist()}).encode()
        bodies = {
            "JSON": (text, "application/json"),
            "Parquet": (client.parquet(one), client.PARQUET),
        }
        for name, (body, kind) in bodies.items():
            taken = timed(lambda b=body, k=kind: client.ask(b, k, server.url), REPEATS)
            allowed = f"2 x members + 10 ms: {1e3 * (2 * single + 0.01):.1f} ms"
            row(f"one window, {name}", f"{1e3 * np.median(taken):.1f} ms", allowed)
        body = client.parquet(many)
        taken = timed(lambda: client.ask(body, client.PARQUET, server.url), REPEATS)
        rate = BATCH / np.median(taken)
        share = f"{100 * rate * whole / BATCH:.0f}% of the members' own"
        row(f"{BATCH} windows, Parquet", f"{rate:.0f} /s", share)
        for count in (1, BATCH):
            body = client.parquet(many[:count])
            taken, errors, memory = load(server, body, seconds)
            row(
                f"{CLIENTS} clients, {count} windows each, {seconds:g} s",
                f"{len(taken)} answers",
                f"{len(errors)} errors {errors[:1] or ''}",
            )
            middle, last = 1e3 * np.quantile(taken, [0.5, 0.99])
            row("  median, 99th percentile", f"{middle:.0f}, {last:.0f} ms")
            shown = ", ".join(f"{size / 1e6:.0f}" for size in memory)
            row("  memory before, half-way, after", f"{shown} MB")


if __name__ == "__main__":
    chosen = sys.argv[1] if len(sys.argv) > 1 else "gwres-ensemble@champion"
    main(chosen, float(sys.argv[2]) if len(sys.argv) > 2 else 60.0)
