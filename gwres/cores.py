"""How many processor cores gwres uses: one setting for processes and threads."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from gwres.errors import InputError

SETTING = "GWRES_CORES"


def cores():
    """Cores to use: $GWRES_CORES, else those that this process may run on.

    Raises:
        InputError: the setting is not a whole number of 1 or more.
    """
    given = os.environ.get(SETTING)
    if given:
        if not given.isdecimal() or int(given) < 1:
            raise InputError(
                f"{SETTING} must be a whole number of 1 or more; received {given}"
            )
        return int(given)
    # os.process_cpu_count() in Python 3.11 and 3.12; macOS and Windows lack affinity.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def workers(jobs, function):
    """Yield `function` of each job, in order, computed by one process per core.

    They are spawned, not forked: a fork of a process with TensorFlow's threads hangs.
    """
    with ProcessPoolExecutor(cores(), mp_context=get_context("spawn")) as pool:
        yield from pool.map(function, jobs)
