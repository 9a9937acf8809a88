"""A PostgreSQL of its own for tests, from Debian's package."""

import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

INSTALLED = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


@contextmanager
def server():
    """A server with a superuser `me` and no database of ours.

    It listens on a socket in a folder of its own, whose path must be short; and runs as
    another user where the tests run as root, whom it would refuse.

    Yields:
        (folder of the socket, function that runs one of PostgreSQL's programs by its
        words).
    """
    folder, as_user = Path(tempfile.mkdtemp(prefix="gwres-")), []
    if os.getuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
        as_user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}"]
        as_user += ["--clear-groups"]

    def run(program, *words):
        command = [*as_user, str(INSTALLED[-1].parent / program), *words]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL)

    data, log = str(folder / "data"), str(folder / "log")
    try:
        run("initdb", "-D", data, "-A", "trust", "-U", "me", "--no-sync")
        options = f"-k {folder} -c listen_addresses= -c fsync=off"
        run("pg_ctl", "-D", data, "-l", log, "-o", options, "-w", "start")
        try:
            yield folder, lambda *words: run(*words, "-h", str(folder), "-U", "me")
        finally:
            run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)
