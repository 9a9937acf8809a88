"""What a run says to MLflow: at once, or by way of a folder while a server is away.

MLflow can log asynchronously by itself, but keeps what it has not sent in memory, sends
it by ten threads in any order, and lets go of what a server that is away does not take.
Here each message is a folder of its own, whole or not there, which is removed once the
server has it: after a kill what is left is still there, and is sent in order.
"""

import json
import logging
import os
import shutil
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import mlflow
from filelock import FileLock, Timeout

from gwres import cache
from gwres.tracking import messages, runs, ui

logger = logging.getLogger(__name__)
RETRY = 2.0  # s between two attempts
PATIENCE = 60.0  # s that the end of a run waits for a server that is away


class Unsent(RuntimeError):
    """A run's work is done, but not all of it could be logged; the rest is kept.

    Args:
        box: the `Outbox`.
        reason: why the server does not take it.
    """

    def __init__(self, box, reason):
        super().__init__(
            f"not logged: {box.what()} of run {box.folder.name}; the tracking server "
            f"does not take them: {reason}. They are kept in {box.folder}; once the "
            f"server is back, log them by\n{ui.command('upload')}"
        )


class Direct:
    """Says everything at once: to a store on this machine.

    Args:
        tags: dict of the run's tags so far.
    """

    def __init__(self, tags):
        self._ids, self.tags = {}, dict(tags)

    def put(self, message, files=None):
        """Say a message; see `messages.deliver`."""
        return messages.deliver(message, files, self._ids, again=False)

    def close(self):
        """Nothing is left."""


class Outbox:
    """Says everything in order by a thread of its own; nobody waits for the server.

    Args:
        folder: for messages, empty or what an earlier process has left.
        tags: dict of the run's tags so far.
        sending: whether a thread sends; without one, `close` does it all.

    Raises:
        Timeout: another process uses the folder.
    """

    def __init__(self, folder, tags=(), sending=True):
        self.folder, self.tags = Path(folder), dict(tags)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.folder / "lock")
        self._lock.acquire(timeout=0)
        ids = self.folder / "ids.json"
        self._ids = json.loads(ids.read_text()) if ids.is_file() else {}
        self._count = max([int(path.name) for path in self._left()], default=0)
        self._error = None
        self._news, self._closing = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        if sending:
            self._news.set()
            self._thread.start()

    def put(self, message, files=None):
        """Keep a message and a copy of its files, to be sent.

        Args:
            message: as `messages.deliver` takes it, JSON-able.
            files: path of a file or a folder, or None.
        """
        self._count += 1
        with cache.replacing(self.folder / f"{self._count:06d}") as scratch:
            scratch.mkdir()
            (scratch / "message.json").write_text(json.dumps(message))
            if files is not None and Path(files).is_dir():
                shutil.copytree(files, scratch / "files")
            elif files is not None:
                (scratch / "files").mkdir()
                shutil.copy2(files, scratch / "files")
        self._news.set()

    def close(self):
        """Send what is left, for as long as patience lasts, and free the folder.

        Raises:
            Unsent: the server did not take all of it; the folder stays.
        """
        self._closing.set()
        self._news.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            end = time.monotonic() + PATIENCE
            while not self._send() and time.monotonic() < end:
                time.sleep(RETRY)
        finally:
            self._lock.release()
        if self._error:
            raise Unsent(self, self._error)
        shutil.rmtree(self.folder)

    def free(self):
        """Let go of the folder, of an outbox without a thread."""
        self._lock.release()

    def what(self):
        """What is left, in words."""
        texts = [(path / "message.json").read_text() for path in self._left()]
        kinds = Counter(json.loads(text)["kind"] for text in texts)
        return ", ".join(f"{kind} ({count})" for kind, count in kinds.items())

    def _left(self):
        """Folders of the messages that are not sent, in order."""
        return sorted(path for path in self.folder.iterdir() if path.name.isdigit())

    def _work(self):
        """Send whatever comes; after a failure, again and again."""
        while not self._closing.is_set():
            self._news.wait(RETRY if self._error else None)
            self._news.clear()
            self._send()

    def _send(self):
        """Send messages until none is left; whether that went well."""
        while left := self._left():
            try:
                self._send_one(left[0])
            except (mlflow.MlflowException, OSError) as error:
                if not self._error:
                    logger.warning(
                        "the tracking server does not take what is logged: it is kept "
                        "in %s, and sent when the server does (%s)",
                        *(self.folder, error),
                    )
                self._error = error
                return False
            if self._error:
                logger.warning("the tracking server takes what is logged again")
            self._error = None
        return True

    def _send_one(self, path):
        """Send a message and remove it."""
        message, files = json.loads((path / "message.json").read_text()), path / "files"
        before, tried = dict(self._ids), path / "tried"
        again = tried.is_file()
        tried.touch()
        with no_retries():
            files = files if files.is_dir() else None
            messages.deliver(message, files, self._ids, again)
        if self._ids != before:
            with cache.replacing(self.folder / "ids.json") as scratch:
                scratch.write_text(json.dumps(self._ids))
        # In one step, so that none that is half removed is sent again.
        done = path.rename(path.with_name(f".{path.name}"))
        shutil.rmtree(done)


@contextmanager
def no_retries():
    """MLflow's calls fail at once, for their repetition is ours."""
    name = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
    before = os.environ.get(name)
    os.environ[name] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def root():
    """The folder of all outboxes, each named by its run."""
    return cache.root() / "outbox"


def channel(run):
    """What a run says goes through this: an `Outbox` where a server keeps the runs.

    Args:
        run: a `runs.Run`, as it begins.
    """
    if mlflow.get_tracking_uri().startswith("http"):
        return Outbox(root() / run.id, run.tags)
    return Direct(run.tags)


def upload():
    """Send what earlier runs of this machine could not log, and say what it was.

    What is of runs that the store does not have stays, for another server.

    Raises:
        Unsent: a run that the store has could still not be logged.
    """
    failed = None
    for folder in sorted(root().glob("*/")):
        # The present run sends its own.
        if folder.name == runs.present().id:
            continue
        try:
            box = Outbox(folder, sending=False)
        except Timeout:
            logger.info("run %s is still at work", folder.name)
            continue
        what = box.what()
        try:
            runs.read(folder.name)
        except mlflow.MlflowException as error:
            box.free()
            logger.warning("left     %s of run %s: %s", what, folder.name, error)
            continue
        try:
            box.close()
        except Unsent as error:
            logger.error("%s", error)
            failed = error
        else:
            logger.info("sent     %s of run %s", what or "nothing", folder.name)
    if failed:
        raise failed
