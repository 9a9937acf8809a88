"""A PostgreSQL of its own for tests, from Debian's package."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

INSTALLED = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
ME = ("-U", "me")


@contextmanager
def server():
    """A server with a superuser `me` and no database of ours.

    It listens on a socket in a folder of its own, whose path must be short; and runs as
    another user where the tests run as root, whom it would refuse.

    Yields:
        (folder of the socket, function that runs one of PostgreSQL's programs by its
        words).
    """
    folder = Path(tempfile.mkdtemp(prefix="gwres-"))
    if os.getuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
    try:
        data = str(folder / "data")
        _run(folder, "initdb", "-D", data, "-A", "trust", "-U", "me", "--no-sync")
        _start(folder)
        try:
            yield folder, lambda *words: _run(folder, *words, "-h", str(folder), *ME)
        finally:
            _stop(folder, "immediate")
    finally:
        shutil.rmtree(folder)


def restart(folder, away_s):
    """Stop a server, in the middle of whatever it does, and start it a while later."""
    _stop(folder, "fast")
    time.sleep(away_s)
    _start(folder)


def leave(database):
    """Close what a storage of studies has open, of which Python would complain."""
    database.remove_session()
    database._backend.engine.dispose()


def _run(folder, program, *words):
    owner, as_user = folder.stat(), []
    if os.getuid() == 0:
        as_user = ["setpriv", f"--reuid={owner.st_uid}", f"--regid={owner.st_gid}"]
        as_user += ["--clear-groups"]
    command = [*as_user, str(INSTALLED[-1].parent / program), *words]
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)


def _start(folder):
    options = f"-k {folder} -c listen_addresses= -c fsync=off"
    words = ["-l", str(folder / "log"), "-o", options, "-w", "start"]
    _run(folder, "pg_ctl", "-D", str(folder / "data"), *words)


def _stop(folder, mode):
    _run(folder, "pg_ctl", "-D", str(folder / "data"), "-m", mode, "-w", "stop")
