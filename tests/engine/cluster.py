"""Runs a command beside a Ray cluster of two nodes that nobody else can reach.

`python -m tests.engine.cluster FOLDER COMMAND...` makes a network with loopback alone
and processes of its own, which end with it whatever becomes of them: Ray listens on all
addresses of a machine, and leaves processes behind when it is told to end.
"""

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests import readme

ADDRESS = "127.0.0.1:6379"
ALONE = "unshare --net --pid --fork --mount-proc --kill-child --".split()
if os.getuid():
    ALONE.insert(1, "--map-root-user")


def ray(line, *more):
    """Run a command of Ray."""
    program, *words = shlex.split(line)
    words = [Path(sysconfig.get_path("scripts")) / program, *words, *more]
    # What it tells of success would hide what the tests have told.
    if code := run(words, subprocess.DEVNULL):
        raise ChildProcessError(f"{line} ended with exit code {code}")


def run(words, stdout=None, **environment):
    """Run a program; its exit code.

    The first process of its kind is given what others leave behind, and must take
    its end, else `ray stop` waits for it.
    """
    process = subprocess.Popen(words, stdout=stdout, env=os.environ | environment)
    while (ended := os.wait())[0] != process.pid:
        pass
    return os.waitstatus_to_exitcode(ended[1])


def main(folder, *command):
    """What is done inside; the command's exit code."""
    subprocess.run("ip link set lo up".split(), check=True)
    os.environ["HOME"] = folder
    os.environ["PYTHONPATH"] = str(readme.ROOT)
    os.environ["RAY_AUTH_MODE"] = "token"
    # By itself Ray lets its workers come after all else, such as the other tests.
    os.environ["RAY_worker_niceness"] = "0"
    ray(readme.line("ray get-auth-token --generate"))
    # GPUs are numbers to Ray: it looks for none where it is told of some.
    has = "--num-cpus=1", "--num-gpus=2"
    ray(readme.line("ray start --head"), *has, f"--temp-dir={folder}/ray")
    ray(readme.line("ray start --address="), "--num-cpus=1", "--num-gpus=1")
    code = run(command, RAY_ADDRESS=ADDRESS)
    ray(readme.line("ray stop"))
    return code


def allowed():
    """Whether such a network can be made here."""
    if not shutil.which("unshare"):
        return False
    words = [*ALONE, *"ip link set lo up".split()]
    return subprocess.run(words, capture_output=True).returncode == 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
