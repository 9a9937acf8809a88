"""What both engines do with one item, on a worker and where its result is wanted."""

import os
import pickle
import threading
import traceback
from dataclasses import dataclass
from functools import partial

# Items handed out and not yet passed on, for each worker: one that it works on, and
# one so that it need not wait for its neighbours.
AHEAD = 2
TRIES = 3  # an item that has cost so many workers is not given to another
# Where workers are asked for, by number or by address.
WORKERS, CLUSTER = "GWRES_WORKERS", "RAY_ADDRESS"

_here = threading.local()


class Lost(Exception):
    """A worker is gone, with what it was at; the message says what became of it."""


class Elsewhere(Exception):
    """The traceback of an error on a worker, as the cause of that error here."""

    def __str__(self):
        return f"on the worker:\n\n{self.args[0]}"


@dataclass(frozen=True)
class Failure:
    """What comes from a worker in place of a result.

    Args:
        error: the exception.
        trace: its traceback, as text; empty if there is none.
    """

    error: Exception
    trace: str = ""


class Prepared:
    """A function of an item that is made on the worker, once, from what it is made of.

    It stands for what is heavy to send, or cannot be sent, such as a bank of templates.

    Args:
        make: function of a module that returns the function of an item.
        inputs: what `make` is called with.
    """

    def __init__(self, make, *inputs):
        self.make, self.inputs = make, inputs
        self._function, self._turn = None, threading.Lock()

    def prepare(self):
        """Make the function, unless it is made."""
        with self._turn:
            if self._function is None:
                self._function = self.make(*self.inputs)
        return self._function

    def __call__(self, item):
        """What the function returns."""
        return self.prepare()(item)

    def __reduce__(self):
        """What is sent to a worker."""
        return Prepared, (self.make, *self.inputs)


def stepped(make):
    """The function of `Crew.step` that `make` makes, as one of an item, for `Prepared`.

    Its item is the tuple of what all workers are given and of the worker's own part.
    """
    made = make()
    return lambda item: made(*item)


def at_work():
    """Whether this thread is working on an item."""
    return getattr(_here, "at_work", False)


def attempt(function, item):
    """Work on an item: the function's result, or the `Failure` that it ended in."""
    _here.at_work = True
    try:
        return function(item)
    except Exception as error:
        return Failure(_portable(error), traceback.format_exc())
    finally:
        _here.at_work = False


def alone(function, item):
    """`attempt` of a long job in a process of its own, which may hire workers here."""
    for setting in (WORKERS, CLUSTER):
        os.environ.pop(setting, None)
    return attempt(partial(_freely, function), item)


def _freely(function, item):
    _here.at_work = False
    return function(item)


def _portable(error):
    """The error, or one that says the same where it cannot be sent to a process."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def lost(how):
    """The `Failure` of an item that no worker survives.

    Args:
        how: what became of the last one.
    """
    return Failure(ChildProcessError(f"{TRIES} workers were lost with it: {how}"))


def value(outcome, called):
    """The result of `attempt`.

    Args:
        outcome: from `attempt` or `lost`.
        called: what the item is called.

    Raises:
        Exception: the function's own, with a note that names the item.
    """
    if not isinstance(outcome, Failure):
        return outcome
    outcome.error.add_note(f"at {called}")
    raise outcome.error from Elsewhere(outcome.trace) if outcome.trace else None
