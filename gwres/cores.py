"""How many processor cores gwres uses: one setting for processes and threads."""

import os

from gwres.errors import InputError

SETTING = "GWRES_CORES"


def cores():
    """Cores to use: $GWRES_CORES, else those that this process may run on.

    Raises:
        InputError: the setting is not a whole number of 1 or more.
    """
    # os.process_cpu_count() in Python 3.11 and 3.12; macOS and Windows lack affinity.
    if hasattr(os, "sched_getaffinity"):
        present = len(os.sched_getaffinity(0))
    else:
        present = os.cpu_count() or 1
    return given(SETTING) or present


def limits(count):
    """Variables that hold a process to so many cores; set before libraries are loaded.

    By themselves TensorFlow, JAX and linear algebra each take all cores. The threads of
    the last wait for one another in loops: two processes with two of them on two cores
    took twice the core-seconds of two with one.

    Args:
        count: cores; 1 where it is less.
    """
    names = "TF_NUM_INTRAOP_THREADS", "NPROC", "OMP_NUM_THREADS"
    return dict.fromkeys((SETTING, *names), str(max(1, count)))


def given(setting):
    """A count that an environment variable gives; None if it is not set.

    Args:
        setting: name of the variable.

    Raises:
        InputError: it is not a whole number of 1 or more.
    """
    text = os.environ.get(setting)
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise InputError(
            f"{setting} must be a whole number of 1 or more; received {text}"
        )
    return int(text)
