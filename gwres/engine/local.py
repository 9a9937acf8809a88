"""Items worked on by processes of this machine.

A pool of `concurrent.futures` is lost as a whole with one of its processes, and does
not tell which item was that one's. Here each process has a pipe of its own, so the end
of a process is the end of its pipe, even in the middle of a result.
"""

import os
import pickle
import signal
import threading
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import islice
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait

from threadpoolctl import threadpool_limits

from gwres.cores import cores, given, limits
from gwres.engine.item import (
    AHEAD,
    TRIES,
    WORKERS,
    Failure,
    Lost,
    Prepared,
    alone,
    attempt,
    lost,
    stepped,
    value,
)

SETTING = WORKERS
GRACE_S = 5.0  # from the end of a process's pipe to its own
# Spawned, not forked: a fork of a process with TensorFlow's threads hangs.
CONTEXT = get_context("spawn")


def threaded(function, items, name, threads):
    """As `work.each`, by threads of this process."""
    items, handed = iter(items), deque()
    if isinstance(function, Prepared):
        # Here, for what is made may belong to the thread that made it.
        function.prepare()
    # Those of the linear algebra would compete with them.
    with ThreadPoolExecutor(threads) as pool, threadpool_limits(1):
        try:
            while True:
                for item in islice(items, AHEAD * threads - len(handed)):
                    handed.append((name(item), pool.submit(attempt, function, item)))
                if not handed:
                    return
                called, result = handed.popleft()
                yield value(result.result(), called)
        finally:
            for _, result in handed:
                result.cancel()


def each(function, items, name):
    """As `work.each`, by processes of this machine."""
    processes = given(SETTING) or cores()
    share = limits(cores() // processes)
    hired = partial(_Worker, pickle.dumps(function), share, attempt)
    # Closed at once, whatever is raised here, and with it the processes.
    with closing(_outcomes(hired, processes, items, name)) as outcomes:
        for called, outcome in outcomes:
            yield value(outcome, called)


def jobs(function, items, name):
    """As `work.jobs`, by processes of this machine."""
    processes = given(SETTING) or 1
    share = limits(cores() // processes)
    hired = partial(_Worker, pickle.dumps(function), share, alone)
    with closing(_outcomes(hired, processes, items, name)) as outcomes:
        for _, outcome in outcomes:
            yield outcome


def _outcomes(hired, processes, items, name):
    """What items are called, and what came of them, in order."""
    ahead, items, again = AHEAD * processes, enumerate(items), []
    idle, busy, losses = [], {}, Counter()
    outcomes, called, due, all_begun = {}, {}, 0, False
    try:
        while True:
            while len(busy) < processes and (again or len(called) < ahead):
                job = again.pop() if again else next(items, None)
                all_begun = job is None
                if all_begun:
                    break
                number, item = job
                called.setdefault(number, name(item))
                worker = idle.pop() if idle else hired()
                busy[worker.pipe] = worker
                worker.begin(number, item)
            if not called:
                return
            # Without a look at the others before each result, all would stand still
            # while results that were late are passed on.
            for pipe in wait(busy, 0 if due in outcomes else None):
                worker = busy.pop(pipe)
                try:
                    outcomes[worker.number] = worker.outcome()
                    if worker.once:
                        worker.leave()
                    else:
                        idle.append(worker)
                except Lost as how:
                    losses[worker.number] += 1
                    if losses[worker.number] < TRIES:
                        again.append((worker.number, worker.item))
                    else:
                        outcomes[worker.number] = lost(str(how))
            # The last results may be passed on slowly; memory is given back.
            while all_begun and not again and idle:
                idle.pop().end()
            if due in outcomes:
                yield called.pop(due), outcomes.pop(due)
                due += 1
    finally:
        for worker in [*idle, *busy.values()]:
            worker.end()


def hire(make, environment):
    """A worker of a `Crew`: a process whose function is made there.

    Args:
        make: as for `work.crew`.
        environment: dict of variables for its process, set before anything is loaded.
    """
    return _Worker(pickle.dumps(Prepared(stepped, make)), environment, attempt)


class _Worker:
    """A process, this end of the pipe to it, and the item that it works on.

    Args:
        function: of an item, pickled.
        environment: dict of variables for the process.
        how: `attempt`; or `alone`, for one item that may have workers of its own.
    """

    def __init__(self, function, environment, how):
        self.pipe, theirs = CONTEXT.Pipe()
        self.once = how is alone
        arguments = function, theirs, environment, how
        # A daemon ends with this process, even if what it was for is never finished; it
        # has no processes of its own. The others follow it by themselves.
        self.process = CONTEXT.Process(
            target=_work, args=arguments, daemon=not self.once
        )
        self.process.start()
        # Else the pipe would not end with the process.
        theirs.close()
        self.number = self.item = None

    def begin(self, number, item):
        """Give it an item."""
        self.number, self.item = number, item
        data = pickle.dumps(item)
        try:
            self.pipe.send_bytes(data)
        except OSError:
            # It has ended: to be seen when its outcome is asked for.
            pass

    def outcome(self):
        """What came of the item; `Lost` if the process has ended."""
        try:
            data = self.pipe.recv_bytes()
        except (EOFError, OSError):
            raise Lost(self._ending()) from None
        self.item = None
        try:
            return pickle.loads(data)
        except Exception as error:
            return Failure(error)

    def _ending(self):
        """How the process ended, which has closed its pipe."""
        self.process.join(GRACE_S)
        code = self.process.exitcode
        self.end()
        if code == -9:  # SIGKILL, a name that Windows lacks
            return "the last was killed, as the system does when memory runs out"
        return f"the last ended with exit code {code}"

    def leave(self):
        """Let the process end by itself, as it does when its pipe is closed."""
        self.pipe.close()
        self.process.join()

    def end(self):
        """End the process now."""
        self.process.terminate()
        self.process.join()
        self.pipe.close()


def _work(function, pipe, environment, how):
    """What a worker's process does."""
    # Ctrl-C reaches all processes of a terminal: the one that gives the items ends us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    follow()
    os.environ.update(environment)
    known = None

    def work(data):
        nonlocal known
        known = known or pickle.loads(function)
        return known(pickle.loads(data))

    while True:
        try:
            data = pipe.recv_bytes()
        except EOFError:
            return
        pipe.send_bytes(_packed(how(work, data)))


def _packed(outcome):
    try:
        return pickle.dumps(outcome, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        unsent = RuntimeError(f"its result cannot be sent: {error}")
        return pickle.dumps(Failure(unsent))


def follow():
    """End this process as soon as the one that started it has ended, however it did."""
    parent = parent_process()

    def leave():
        parent.join()
        os._exit(1)

    threading.Thread(target=leave, daemon=True).start()
