"""The split of each window, by its id alone: which windows serve which purpose."""

import hashlib
from itertools import accumulate

# Percent of the ids. Networks are fitted on train, stopped and tuned on validation,
# joined on stack; gate decides promotions; holdout is reported and decides nothing.
SPLITS = {"train": 80, "validation": 5, "stack": 5, "gate": 5, "holdout": 5}
# Of so many windows, half of them signals, every split has both labels in 98 of 100
# folders.
ENOUGH = 250


def split(name):
    """The split of a window.

    Args:
        name: the window's id.

    Returns:
        A key of `SPLITS`.
    """
    digest = hashlib.sha256(name.encode()).digest()
    place = int.from_bytes(digest[:8], "big") % sum(SPLITS.values())
    edges = accumulate(SPLITS.values())
    return next(key for key, edge in zip(SPLITS, edges) if place < edge)


def split_hash(table, of=""):
    """A hash of all ids and their splits: only runs with equal ones are comparable.

    Args:
        table: DataFrame with columns id and split, in any order of rows.
        of: what else the windows depend on, where their ids do not.

    Returns:
        16 hexadecimal digits.
    """
    lines = sorted(f"{name} {part}" for name, part in zip(table["id"], table["split"]))
    lines += [of] if of else []
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
