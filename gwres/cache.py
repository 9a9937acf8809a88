"""Keyed folders of things that are expensive to make; never half-written."""

import hashlib
import json
import multiprocessing
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from gwres.errors import InputError


def root():
    """Where caches lie: $GWRES_CACHE, or gwres/ in the user's cache folder."""
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("GWRES_CACHE") or Path(user) / "gwres")


def digest(made_from):
    """A short name for a JSON-able description: the same text, the same name."""
    text = json.dumps(made_from, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def lock(kind, made_from):
    """A lock, shared by all processes of the user, for what a description stands for.

    It lies with the caches, so that nothing is left beside what it guards.

    Returns:
        FileLock, not acquired.
    """
    root().mkdir(parents=True, exist_ok=True)
    return FileLock(root() / f"{kind}-{digest(made_from)}.lock")


@contextmanager
def replacing(path):
    """A temporary path beside `path` that takes its place if all goes well.

    Yields a path that does not exist yet. On leaving, it is moved to `path` in one
    step; on any error it is removed and `path` is as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        yield scratch / path.name
        os.replace(scratch / path.name, path)
    except OSError as error:
        # A full disk is told without the name of what did not fit.
        error.filename = error.filename or str(path)
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def begin_array(file, dtype, shape):
    """Write the head of a .npy file, whose rows are then written as they come.

    Front to back, not through a memory map, so that a full disk is an error and not a
    crash.

    Args:
        file: open for binary writing.
        dtype: of the rows to come.
        shape: of the whole array.
    """
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def folder(kind, made_from, make):
    """The cached folder for `made_from`, made now if there is none.

    Two processes that want the same folder at once make it once: the second waits.

    Args:
        kind: the sort of thing, the folder above it.
        made_from: JSON-able description of all that went into it; its digest is the
            key, and it is kept inside as `made_from.json`.
        make: called with an empty folder to fill.

    Returns:
        Path of the complete folder.

    Raises:
        RuntimeError: called by a script without a guard; see below.
    """
    path = root() / kind / digest(made_from)
    if path.is_dir():
        return path
    # A spawned process imports the program's script anew; unguarded, it comes here
    # again and would wait for its own parent's lock.
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RuntimeError('put the script\'s work under if __name__ == "__main__":')
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if not path.is_dir():
            # What a killed process left: its lock is gone, its scratch is not.
            for left in path.parent.glob(f".{path.name}-*"):
                shutil.rmtree(left, ignore_errors=True)
            with replacing(path) as scratch:
                scratch.mkdir()
                make(scratch)
                (scratch / "made_from.json").write_text(json.dumps(made_from, indent=1))
    return path


@contextmanager
def workplace(made_from):
    """A folder for checkpoints that one process at a time works in.

    The same description finds the same folder again after a kill. Where a live process
    holds it, as when one command runs twice at once, the next free one is taken.

    Args:
        made_from: JSON-able description of the work.

    Yields:
        Path. It is removed when all goes well, and kept for another try when not.
    """
    base = root() / "training" / digest(made_from)
    for slot in range(1000):
        path = base / str(slot)
        path.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(base / f"{slot}.lock", timeout=0):
                yield path
                shutil.rmtree(path)
            return
        except Timeout:
            continue
    raise InputError(f"{base}: 1000 processes do this work already")
