"""Killed in each phase, or on a full disk, the same command ends as if undisturbed."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

from .conftest import TINY, Project, words

# Runs an entry point in a process group that is killed when a function is called for
# the nth time with a pattern among its arguments.
KILLED = """
import importlib, os, re, runpy, signal, sys

place, pattern, count, entry = sys.argv[1:5]
module, _, name = place.partition(":")
owner = importlib.import_module(module)
*classes, name = name.split(".")
for one in classes:
    owner = getattr(owner, one)
function, left = getattr(owner, name), int(count)

def killing(*given, **named):
    global left
    left -= bool(re.search(pattern, str(given)))
    if not left:
        os.killpg(0, signal.SIGKILL)
    return function(*given, **named)

setattr(owner, name, killing)
sys.argv = [entry, *sys.argv[5:]]
runpy.run_module(f"gwres.mlproject.{entry}", run_name="__main__")
"""
# Phase, function, pattern among its arguments, call: each of these is reached after the
# one before, so that one command is killed in all of them, one after another.
PHASES = (
    ("bank", "gwres.proof:write", "/bank/", 1),
    ("second trial", "gwres.training.epochs:Epochs.on_epoch_end", "", 8),
    # A trial's are called with its name too, and its checkpoints lie elsewhere.
    ("epoch", "gwres.tracking.log:epoch", r"\},\)$", 2),
    ("checkpoint", "gwres.cache:_note", r"/training/.*/state\.json", 1),
    ("logging", "gwres.tracking.log:files", "", 2),
    ("model", "gwres.tracking.log:model", "", 1),
)
SETTINGS = TINY | {"epochs": "3"}
# Mounts a small file system where the cache is.
SMALL = 'mkdir -p "$GWRES_CACHE" && mount -t tmpfs -o size="$1" gwres "$GWRES_CACHE"'
ALONE = ["unshare", "--mount", *(["--map-root-user"] if os.getuid() else [])]


def started(project, command, cache):
    """A command with a cache of its own, to its end: exit code and output."""
    process = subprocess.Popen(
        command,
        cwd=project.folder,
        env=project.environment | {"GWRES_CACHE": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    output, _ = process.communicate(timeout=400)
    return process.returncode, output


def entry(settings, name="main"):
    return [sys.executable, "-m", f"gwres.mlproject.{name}", *words(settings)]


def result(project):
    """Metrics of the last run, which is finished, but for what it cost."""
    run = project.runs()[0]
    assert run.info.status == "FINISHED"
    metrics = run.data.metrics.items()
    assert len(metrics) > 10
    return {name: one for name, one in metrics if not name.startswith("cost/")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The metrics of an undisturbed run, and the size of its cache."""
    folder = tmp_path_factory.mktemp("undisturbed")
    project = Project(folder / "gwres")
    code, output = started(project, entry(SETTINGS), folder / "cache")
    assert code == 0, output
    files = [path for path in (folder / "cache").rglob("*") if path.is_file()]
    return result(project), sum(path.stat().st_size for path in files)


@pytest.mark.slow
def test_killed_in_every_phase_the_same_command_ends_alike(undisturbed, tmp_path):
    project, cache = Project(tmp_path / "gwres"), tmp_path / "cache"
    for phase, place, pattern, count in PHASES:
        killing = [sys.executable, "-c", KILLED, place, pattern, str(count), "main"]
        code, output = started(project, [*killing, *words(SETTINGS)], cache)
        assert code == -signal.SIGKILL, f"{phase} is not reached: {output}"
    code, output = started(project, entry(SETTINGS), cache)
    assert code == 0, output
    assert "goes on after epoch" in output
    assert result(project) == undisturbed[0]
    statuses = [run.info.status for run in project.runs()]
    assert statuses == ["FINISHED"] + ["RUNNING"] * len(PHASES)


def mountable():
    if not shutil.which("unshare"):
        return False
    words = [*ALONE, "mount", "-t", "tmpfs", "gwres", "/mnt"]
    return subprocess.run(words, capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not mountable(), reason="needs a file system of its own")
@pytest.mark.parametrize("share", [0.6])
def test_a_full_disk_is_told_and_leaves_nothing_half(undisturbed, tmp_path, share):
    metrics, size = undisturbed
    project, cache = Project(tmp_path / "gwres"), tmp_path / "cache"
    run = f'{SMALL} && shift && "$@"; code=$?; cp -r "$GWRES_CACHE" kept; exit $code'
    small = [*ALONE, "sh", "-c", run, "sh", str(int(size * share))]
    code, output = started(project, [*small, *entry(SETTINGS)], cache)
    assert code == 2, output
    assert "No space left on device" in output and str(cache) in output
    assert project.runs()[0].info.status == "FAILED"
    # With what was written until then, on a disk that has room.
    shutil.copytree(project.folder / "kept", cache, dirs_exist_ok=True)
    code, output = started(project, entry(SETTINGS), cache)
    assert code == 0, output
    assert result(project) == metrics
