"""The one way to work on many items: in order, and nothing lost with a worker."""

import os

from gwres.cores import given
from gwres.engine import item, local

CLUSTER = "RAY_ADDRESS"


def each(function, items, name=str):
    """Work on items with all workers that there are; their results, in order.

    The workers are processes of this machine, as many as $GWRES_WORKERS, or one for
    each core; with $RAY_ADDRESS they are those of a Ray cluster. An item whose worker
    is lost is given to another. A worker does by itself what is called from within an
    item. Progress is the caller's: see `progress`.

    Args:
        function: of one item; of a module, so that a worker can import it. Its result
            may be read-only.
        items: iterable, not read further ahead than workers need.
        name: function of an item: what it is called if it fails.

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
    return local.each(function, items, name)


def check():
    """Raise what is wrong with the settings, before a job has begun.

    Raises:
        InputError: a setting is wrong, or Ray is not installed.
    """
    given(local.SETTING)
    if os.environ.get(CLUSTER):
        from gwres.engine import cluster

        cluster.check()
