"""Items worked on by a Ray cluster, which is there already."""

import importlib.util
import logging
import math
import os
import pickle
import re
import socket
import time
import uuid
from collections import deque
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

import gwres
from gwres.cores import SETTING as CORES
from gwres.cores import given
from gwres.engine.item import (
    AHEAD,
    CLUSTER,
    TRIES,
    Failure,
    Lost,
    Prepared,
    alone,
    attempt,
    lost,
    stepped,
    value,
)
from gwres.errors import InputError

ADDRESS = CLUSTER
INSTALL = "pip install 'gwres[cluster]'"
ASK_S = 1.0  # between looks at how many cores the cluster has


def each(function, items, name):
    """As `work.each`, by the cluster at $RAY_ADDRESS."""
    made = _outcomes({"num_cpus": 1}, attempt, function, items, name)
    # Closed at once, whatever is raised here, and with it the tasks.
    with closing(made) as outcomes:
        for called, outcome in outcomes:
            yield value(outcome, called)


def jobs(function, items, name):
    """As `work.jobs`, by the cluster at $RAY_ADDRESS."""
    share = given(CORES) or 1
    # A process of Ray's ends after one call of such a task.
    needs, how = {"num_cpus": share, "max_calls": 1}, partial(_job, share)
    with closing(_outcomes(needs, how, function, items, name)) as outcomes:
        for _, outcome in outcomes:
            yield outcome


def _job(share, function, item):
    os.environ[CORES] = str(share)
    return alone(function, item)


def _outcomes(needs, how, function, items, name):
    """What items are called, and what came of them, in order."""
    ray = connected()
    task = ray.remote(max_retries=TRIES - 1, **needs)(_attempt)
    # As an array, which is at a worker without being copied, and unpickled there once.
    data = np.frombuffer(ray.cloudpickle.dumps(function), np.uint8)
    function, call = ray.put(data), uuid.uuid4().hex
    items, handed = iter(items), deque()
    asked = -math.inf
    try:
        while True:
            # Again and again, because machines may join and leave.
            if time.monotonic() > asked + ASK_S:
                asked = time.monotonic()
                ahead = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 0)))
            for item in islice(items, max(0, ahead - len(handed))):
                handed.append((name(item), task.remote(how, call, function, item)))
            if not handed:
                return
            called, reference = handed[0]
            try:
                outcome = _outcome(ray, reference)
            except Lost as loss:
                outcome = lost(str(loss))
            handed.popleft()
            yield called, outcome
    finally:
        for _, reference in handed:
            ray.cancel(reference, force=True)


_known = {}  # a worker's function, by the call that it is of


def _attempt(how, call, function, item):
    """`attempt` or `_job`, on a worker."""

    def work(item):
        if call not in _known:
            made = pickle.loads(function)
            _known.clear()
            _known[call] = made
        return _known[call](item)

    return how(work, item)


def _outcome(ray, reference):
    """What came of an item; `Lost` if the worker is, and with it all tries of Ray's."""
    known = ray.exceptions
    try:
        return ray.get(reference)
    except (
        known.WorkerCrashedError,
        known.RayActorError,
        known.NodeDiedError,
        known.ObjectLostError,
        known.OutOfMemoryError,
    ) as error:
        raise Lost(" ".join(str(error).split())) from None
    except known.RayError as error:
        return Failure(error)


def resources(name):
    """How many there are of "CPU" or "GPU" in the cluster at $RAY_ADDRESS."""
    return int(connected().cluster_resources().get(name, 0))


def hire(make, environment, gpu):
    """A worker of a `Crew`: an actor of the cluster at $RAY_ADDRESS.

    It holds no core, so that one whose machine is gone can begin anywhere.

    Args:
        make: as for `work.crew`.
        environment: dict of variables for its process, set before anything is loaded.
        gpu: whether it takes a GPU, of which Ray makes it see no other.
    """
    ray = connected()
    function = ray.cloudpickle.dumps(Prepared(stepped, make))
    return _Worker(ray, (function, environment), gpu)


class _Worker:
    """An actor, and the item that it works on."""

    def __init__(self, ray, given, gpu):
        self.ray = ray
        # Of 0 cores, where Ray's default is 1 as soon as GPUs are named.
        kind = ray.remote(num_cpus=0, num_gpus=int(gpu), scheduling_strategy="SPREAD")
        self.actor = kind(_Actor).remote(*given)
        self.reference = None

    def begin(self, number, item):
        """Give it an item: what all are given, a reference, and its own part."""
        self.reference = self.actor.attempt.remote(*item)

    def outcome(self):
        """What came of the item; `Lost` if the actor has ended."""
        return _outcome(self.ray, self.reference)

    def end(self):
        """End the actor now."""
        self.ray.kill(self.actor)


class _Actor:
    """What a worker of a `Crew` does."""

    def __init__(self, function, environment):
        self.function, self.environment, self.known = function, environment, None

    def attempt(self, common, part):
        """As `item.attempt`; Ray has put in `common` itself for its reference."""
        return attempt(self._step, (common, part))

    def _step(self, item):
        if self.known is None:
            os.environ.update(self.environment)
            self.known = pickle.loads(self.function)
        return self.known(item)


def hand(common):
    """Put what all workers are given where each machine takes it from, once."""
    return connected().put(common)


def check():
    """Raise what is wrong with $RAY_ADDRESS, as far as that is known without asking.

    Raises:
        InputError: Ray is not installed, or would start a cluster by itself.
    """
    if importlib.util.find_spec("ray") is None:
        raise InputError(f"{ADDRESS} needs Ray: {INSTALL}")
    if os.environ[ADDRESS] == "local":
        raise InputError(f"{ADDRESS} must be of a cluster that runs; received local")


def connected():
    """The module ray, connected to the cluster at $RAY_ADDRESS.

    Raises:
        InputError: Ray is not installed, no token is there, or no cluster answers.
    """
    check()
    # Ray reads it when it is imported, and by itself goes on without if it finds no
    # token: then whoever reaches this process's port runs what he likes here.
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    import ray

    if not ray.is_initialized():
        address = os.environ[ADDRESS]
        try:
            # Ray waits many minutes for a machine that does not answer.
            if place := re.fullmatch(r"(?:ray://)?\[?([^/]+?)\]?:(\d+)", address):
                socket.create_connection(place.groups(), timeout=10).close()
            # Workers get the very code that runs here, wherever they are.
            ray.init(
                address,
                logging_level=logging.ERROR,
                runtime_env={"py_modules": [str(Path(gwres.__file__).parent)]},
            )
        except (OSError, ray.exceptions.AuthenticationError) as error:
            told = " ".join(str(error).split())
            raise InputError(f"{ADDRESS}={address}: {told}") from None
    return ray
