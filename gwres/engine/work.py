"""The ways to work with many workers, here or on a cluster; nothing is lost with one.

`each` works on many items, in order; `crew` in many steps that all workers share.
"""

import os
import platform

from gwres.cores import cores, given, limits
from gwres.engine import item, local
from gwres.engine.crew import Crew
from gwres.errors import InputError

CLUSTER = item.CLUSTER


def each(function, items, name=str, threads=0):
    """Work on items with all workers that there are; their results, in order.

    The workers are processes of this machine, as many as $GWRES_WORKERS, or one for
    each core; with $RAY_ADDRESS they are those of a Ray cluster. An item whose worker
    is lost is given to another. A worker does by itself what is called from within an
    item. Progress is the caller's: see `progress`.

    Args:
        function: of one item; of a module, so that a worker can import it, or an
            `item.Prepared`. Its result may be read-only.
        items: iterable, not read further ahead than workers need.
        name: function of an item: what it is called if it fails.
        threads: of this process, which work where neither workers nor a cluster are
            asked for. For a function that spends its time outside Python, or that by
            itself uses all cores, and whose own start would be long. 0: processes.

    Yields:
        The results.

    Raises:
        Exception: what the function raised, with a note that names the item, when the
            results before it have been passed on.
        ChildProcessError: an item whose workers were lost `item.TRIES` times; the
            same note.
        InputError: a setting is wrong, or Ray is not installed or not reached.
    """
    if item.at_work():
        return map(function, items)
    if os.environ.get(CLUSTER):
        # Not before it is wanted: Ray is heavy, and need not be installed.
        from gwres.engine import cluster

        return cluster.each(function, items, name)
    if threads and not given(local.SETTING):
        return local.threaded(function, items, name, threads)
    return local.each(function, items, name)


def jobs(function, items, name=str):
    """Work on long jobs, each in a process of its own, which ends with it.

    On this machine one is worked on after another, or as many at once as $GWRES_WORKERS
    says, which share the cores. On a cluster each takes $GWRES_CORES cores, or one. A
    job whose process is lost is begun again. One that fails stops no other.

    Args:
        function: as for `each`; it may use `each` itself, on its own cores.
        items: as for `each`.
        name: as for `each`.

    Yields:
        The result of each job, or an `item.Failure`; in order.

    Raises:
        InputError: as `each`.
    """
    if os.environ.get(CLUSTER):
        from gwres.engine import cluster

        return cluster.jobs(function, items, name)
    return local.jobs(function, items, name)


def asked():
    """How many workers the user asks for, $GWRES_WORKERS, where a job asks for a crew.

    Returns:
        None if there is no number, or it is one on this machine, which this process is.
    """
    size = given(local.SETTING)
    return None if size == 1 and not os.environ.get(CLUSTER) else size


def crew(make, size, gpus=()):
    """Workers that share each step of a job, each with a function that it makes once.

    They are processes of this machine, or with $RAY_ADDRESS actors of a Ray cluster.
    Each computes on its share of the cores. Where there are GPUs each has one of its
    own, and sees no other.

    Args:
        make: function without arguments that makes the function of `Crew.step`; of a
            module, or a `functools.partial` of one, so that a worker can import it.
        size: number of workers.
        gpus: names of this machine's GPUs, as $CUDA_VISIBLE_DEVICES has them; a
            cluster knows of its own.

    Returns:
        `Crew`, which ends its workers when its context is left.

    Raises:
        InputError: more workers than GPUs, or a cluster that is not reached.
    """
    with_gpu = room(size, gpus)
    if os.environ.get(CLUSTER):
        from gwres.engine import cluster

        environment = _environment(cluster.resources("CPU") // size)

        def hire(number):
            return cluster.hire(make, environment, with_gpu)

        return Crew(hire, size, cluster.hand)

    environment = _environment(cores() // size)

    def hire(number):
        own = {"CUDA_VISIBLE_DEVICES": gpus[number]} if with_gpu else {}
        return local.hire(make, environment | own)

    return Crew(hire, size, lambda common: common)


def room(size, gpus=()):
    """Whether each worker of a crew will have a GPU.

    Args:
        size: as for `crew`.
        gpus: as for `crew`.

    Returns:
        False where there are none.

    Raises:
        InputError: there are some, but fewer than workers; or a cluster that is not
            reached.
    """
    known = len(gpus)
    if os.environ.get(CLUSTER):
        from gwres.engine import cluster

        known = cluster.resources("GPU")
    if 0 < known < size:
        raise InputError(
            f"workers must be at most {known}, as many as there are GPUs; received "
            f"{size}"
        )
    return known > 0


def _environment(threads):
    """Variables of a worker that computes on so many threads, at least one.

    A machine of a cluster has not those of this process.
    """
    kept = "KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL"
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        **limits(threads),
        "TF_NUM_INTEROP_THREADS": str(max(1, threads)),
    }


def seen(path):
    """A path that a worker reads, which may be on another machine.

    Raises:
        InputError: it is not there; the message names the machine.
    """
    if not path.exists():
        raise InputError(
            f"{path} must be on a disk that all workers read; {platform.node()} has "
            "no such file"
        )
    return path


def check():
    """Raise what is wrong with the settings, before a job has begun.

    Raises:
        InputError: a setting is wrong, or Ray is not installed.
    """
    given(local.SETTING)
    if os.environ.get(CLUSTER):
        from gwres.engine import cluster

        cluster.check()
