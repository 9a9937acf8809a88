"""Cache folders of expensive results, keyed by their inputs.

They are never half-written, and what is read from them is what was written: a folder
is checked by its digests when a process asks for it first. What is damaged is named in
the log, thrown away and made again.
"""

import hashlib
import json
import logging
import multiprocessing
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from gwres import proof
from gwres.errors import InputError, writing
from gwres.proof import Damaged

logger = logging.getLogger(__name__)
_checked = set()  # folders that this process has made, or found as they were made


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
        with writing(path):
            yield scratch / path.name
            os.replace(scratch / path.name, path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def keeping(path):
    """As `replacing`, with digests of the file beside it, for `whole`.

    Killed in between, it leaves the old file or the new one, and either is whole.
    """
    path = Path(path)
    with replacing(path) as scratch:
        yield scratch
        new = proof.of(scratch)
        _note(path, [new, *_noted(path)])
    _note(path, [new])


def whole(path):
    """Whether a file that `keeping` wrote is there, and as it was written.

    One that is not is named in the log and thrown away.
    """
    path = Path(path)
    if not path.is_file():
        return False
    noted = _noted(path)
    if proof.of(path) in noted:
        return True
    trouble = "not as it was written" if noted else "an older version made it"
    logger.warning("%s: %s; it is made again", path, trouble)
    discard(path)
    return False


def discard(path):
    """Throw away a file that `keeping` wrote, or a folder."""
    path = Path(path)
    if path.is_dir():
        # In one step, for others may be looking at it.
        gone = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
        with suppress(FileNotFoundError):
            os.replace(path, gone)
        shutil.rmtree(gone, ignore_errors=True)
        _checked.discard(path)
    else:
        path.unlink(missing_ok=True)
        _notes(path).unlink(missing_ok=True)


def _notes(path):
    return path.with_name(f"{path.name}.xxh3")


def _noted(path):
    """Digests of what a file may hold."""
    notes = _notes(path)
    # Bytes, for a damaged file need not be text.
    held = notes.read_bytes().split() if notes.is_file() else []
    return [one.decode("ascii", "replace") for one in held]


def _note(path, digests):
    with replacing(_notes(path)) as scratch:
        scratch.write_text("\n".join(digests) + "\n")


def folder(kind, made_from, make):
    """The cached folder for `made_from`, filled now if there is no whole one.

    Two processes that want the same folder at once make it once: the second waits.
    Files with `proof.beside` are for `rows`, which checks what it reads; the others are
    checked here.

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
    if path.is_dir() and (path in _checked or not _trouble(path, made_from)):
        _checked.add(path)
        return path
    # A spawned process imports the program's script anew. Without a guard it calls this
    # again, and would wait for its parent's lock forever.
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RuntimeError('put the script\'s work under if __name__ == "__main__":')
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        # Another process may have made it again meanwhile.
        if path.is_dir() and (trouble := _trouble(path, made_from)):
            logger.warning("%s; the folder is made again", trouble)
            discard(path)
        if not path.is_dir():
            # A killed process frees its lock, but leaves its scratch folder.
            for leftover in path.parent.glob(f".{path.name}-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            with replacing(path) as scratch:
                scratch.mkdir()
                make(scratch)
                (scratch / "made_from.json").write_text(json.dumps(made_from, indent=1))
                proof.write(scratch)
    _checked.add(path)
    return path


def _trouble(path, made_from):
    """What is wrong with a cached folder; "" if nothing is."""
    try:
        proof.verify(path)
    except (Damaged, OSError) as error:
        return str(error)
    held = json.loads((path / "made_from.json").read_text())
    if held != json.loads(json.dumps(made_from)):
        return f"{path / 'made_from.json'}: it was made from something else"
    return ""


def rows(find, name, chosen):
    """Rows of a file that `proof.writing_rows` wrote into a cached folder.

    If one is damaged, the folder is made again.

    Args:
        find: function without arguments to the path of the folder, as `folder` gives
            it.
        name: of the file.
        chosen: as `proof.Rows` takes them.

    Returns:
        Array of them.
    """
    path = find()
    try:
        return proof.Rows(path / name)[chosen]
    except Damaged as error:
        logger.warning("%s; the folder is made again", error)
        discard(path)
        return proof.Rows(find() / name)[chosen]


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
