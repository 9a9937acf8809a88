"""Cache folders of expensive results, keyed by their inputs; never half-written."""

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
    """The folder of all caches: $GWRES_CACHE, or gwres/ in the user's cache folder."""
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("GWRES_CACHE") or Path(user) / "gwres")


def digest(made_from):
    """A hash of a JSON-able description, 16 hexadecimal digits."""
    text = json.dumps(made_from, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def lock(kind, made_from):
    """A file lock for a kind and a description, shared by all processes of the user.

    Its file lies with the caches, because a lock file stays behind after use.

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
        # The system's error for a full disk names no file.
        error.filename = error.filename or str(path)
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def begin_array(file, dtype, shape):
    """Write the header of a .npy file, to which the caller appends the rows.

    Through a memory map a full disk would be a crash; this way it is an error.

    Args:
        file: a file that is open for binary writing.
        dtype: dtype of the array.
        shape: shape of the whole array.
    """
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def folder(kind, made_from, make):
    """The cached folder for `made_from`, filled now if there is none.

    Two processes that want the same folder at once make it once: the second waits.

    Args:
        kind: name of the parent folder, such as "bank".
        made_from: JSON-able description of all inputs; its digest names the folder,
            which keeps it as `made_from.json`.
        make: function that fills the empty folder it is given.

    Returns:
        Path of the complete folder.

    Raises:
        RuntimeError: a script without an `if __name__ == "__main__"` guard calls this.
    """
    path = root() / kind / digest(made_from)
    if path.is_dir():
        return path
    # A spawned process imports the program's script anew. Without a guard it calls this
    # again, and would wait for its parent's lock forever.
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RuntimeError('put the script\'s work under if __name__ == "__main__":')
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if not path.is_dir():
            # A killed process frees its lock, but leaves its scratch folder.
            for leftover in path.parent.glob(f".{path.name}-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            with replacing(path) as scratch:
                scratch.mkdir()
                make(scratch)
                (scratch / "made_from.json").write_text(json.dumps(made_from, indent=1))
    return path


@contextmanager
def workplace(made_from):
    """A folder for checkpoints, used by one process at a time.

    After a kill, the same description gives the same folder again. If another process
    is using it, because one command runs twice at once, the next free one is taken.

    Args:
        made_from: JSON-able description of the work.

    Yields:
        Path of the folder, which is removed on success and kept after an error.
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
