"""Killed in each phase, or on a full disk, the same command ends as if undisturbed."""

import importlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

import mlflow
import pytest

from gwres.mlproject import entry as entries
from gwres.search import rehearsal
from gwres.simulate import dataset
from gwres.simulate.population import population
from tests import clock

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
PHASES = {
    "bank": ("gwres.proof:write", "/bank/", 1),
    "second trial": ("gwres.training.epochs:Epochs.on_epoch_end", "", 8),
    # A trial's are called with its name too, and its checkpoints lie elsewhere.
    "epoch": ("gwres.tracking.log:epoch", r"\},\)$", 2),
    "checkpoint": ("gwres.cache:_note", r"/training/.*/state\.json", 1),
    "logging": ("gwres.tracking.log:files", "", 2),
    "model": ("gwres.tracking.log:model", "", 1),
}
SETTINGS = TINY | {"epochs": "3"}
# Runs a command with a small file system in a folder, whose files are then in kept/.
SMALL = """
folder=$1; mkdir -p "$folder" && mount -t tmpfs -o size="$2" gwres "$folder" || exit 99
shift 2; "$@"; code=$?; cp -r "$folder" kept; exit $code
"""
ALONE = ["unshare", "--mount", *(["--map-root-user"] if os.getuid() else [])]


def started(project, command, cache, **more):
    """A command with a cache of its own, to its end: exit code and output."""
    return project.run(command, GWRES_CACHE=str(cache), **more)


def entry(settings, name="main"):
    return [sys.executable, "-m", f"gwres.mlproject.{name}", *words(settings)]


def killed(project, settings, cache, place, pattern, count=1, name="main"):
    """Kill a command, with all that it started, when it reaches a place."""
    killing = [sys.executable, "-c", KILLED, place, pattern, str(count), name]
    code, output = started(project, [*killing, *words(settings)], cache)
    assert code == -signal.SIGKILL, f"{place} {pattern} is not reached: {output}"


def squeezed(project, command, cache, folder, size):
    """Run a command with a full disk in a folder; then give it room, files and all."""
    small = [*ALONE, "sh", "-c", SMALL, "sh", str(folder), str(int(size))]
    code, output = started(project, [*small, *command], cache)
    shutil.copytree(project.folder / "kept", folder, dirs_exist_ok=True)
    shutil.rmtree(project.folder / "kept")
    return code, output


def contents(place):
    """Each file below a folder, but what a killed process left hidden."""
    files = [path for path in sorted(place.rglob("*")) if path.is_file()]
    names = [path.relative_to(place) for path in files]
    hidden = [any(part.startswith(".") for part in name.parts) for name in names]
    return {
        str(name): path.read_bytes()
        for path, name, skipped in zip(files, names, hidden)
        if not skipped
    }


def result(run):
    """Metrics of a run, which is finished, but for what it cost."""
    assert run.info.status == "FINISHED"
    metrics = run.data.metrics.items()
    return {name: one for name, one in metrics if not name.startswith("cost/")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A project with an undisturbed run, and the folder of its cache."""
    folder = tmp_path_factory.mktemp("undisturbed")
    project = Project(folder / "gwres")
    code, output = started(project, entry(SETTINGS), folder / "cache")
    assert code == 0, output
    [project.trained] = project.runs()
    return project, folder / "cache"


@pytest.fixture(scope="module")
def metrics(undisturbed):
    metrics = result(undisturbed[0].trained)
    assert len(metrics) > 10
    return metrics


def set_back(cache, file):
    """Set a clock back two days more as soon as a training has written a checkpoint."""
    begun = time.time()
    while not any(
        path.stat().st_mtime > begun for path in cache.glob("training/*/*/state.json")
    ):
        time.sleep(0.01)
    file.write_text("-3d")


@pytest.mark.slow
def test_killed_in_every_phase_the_same_command_ends_alike(metrics, tmp_path):
    project, cache = Project(tmp_path / "gwres"), tmp_path / "cache"
    for place, pattern, count in PHASES.values():
        killed(project, SETTINGS, cache, place, pattern, count)
    code, output = started(project, entry(SETTINGS), cache)
    assert code == 0, output
    assert "goes on after epoch" in output
    last, *others = project.runs()
    assert result(last) == metrics
    assert [run.info.status for run in others] == ["RUNNING"] * len(PHASES)


@pytest.mark.slow
@clock.needed
def test_a_clock_that_is_set_back_changes_nothing(metrics, tmp_path):
    """By a day after a kill, and by two more in the middle of what goes on."""
    project, cache = Project(tmp_path / "gwres"), tmp_path / "cache"
    killed(project, SETTINGS, cache, *PHASES["second trial"])
    file = tmp_path / "clock"
    file.write_text("-1d")
    thread = threading.Thread(target=set_back, args=(cache, file), daemon=True)
    thread.start()
    code, output = started(project, entry(SETTINGS), cache, **clock.settings(file))
    assert code == 0, output
    thread.join(timeout=1)
    assert not thread.is_alive()
    disturbed, last = project.runs()
    assert disturbed.info.status == "RUNNING"
    assert result(last) == metrics
    day = 24 * 3600 * 1000
    assert last.info.start_time < disturbed.info.start_time - day / 2
    assert last.info.end_time < last.info.start_time - day


def mountable():
    if not shutil.which("unshare"):
        return False
    words = [*ALONE, "mount", "-t", "tmpfs", "gwres", "/mnt"]
    return subprocess.run(words, capture_output=True).returncode == 0


room = pytest.mark.skipif(not mountable(), reason="needs a file system of its own")


@pytest.mark.slow
@room
def test_a_full_disk_is_told_and_leaves_nothing_half(undisturbed, metrics, tmp_path):
    project, cache = Project(tmp_path / "gwres"), tmp_path / "cache"
    share = 0.6 * sum(map(len, contents(undisturbed[1]).values()))
    code, output = squeezed(project, entry(SETTINGS), cache, cache, share)
    assert code == 2, output
    assert "No space left on device" in output and str(cache) in output
    assert project.runs()[0].info.status == "FAILED"
    # With what was written until then, on a disk that has room.
    code, output = started(project, entry(SETTINGS), cache)
    assert code == 0, output
    assert result(project.runs()[0]) == metrics


@pytest.mark.slow
@room
def test_a_full_store_is_told_and_costs_no_epoch(metrics, tmp_path):
    """The store is not in the same place as the cache, which keeps the training."""
    project, cache = Project(tmp_path / "gwres"), tmp_path / "cache"
    store = project.folder / "mlruns"
    code, output = squeezed(project, entry(SETTINGS), cache, store, 300_000)
    assert code == 2, output
    assert "No space left on device" in output and str(store) in output
    assert project.runs()[0].info.status == "FAILED"
    code, output = started(project, entry(SETTINGS), cache)
    assert code == 0, output
    assert "goes on after epoch" in output
    assert result(project.runs()[0]) == metrics


@dataclass(frozen=True)
class Job:
    """What else writes much.

    Args:
        settings: of its entry point.
        killed: where, as in `PHASES`.
        full: the folder that is small, "out" or "cache".
        room: in it, bytes.
    """

    settings: dict
    killed: tuple
    full: str
    room: int


JOBS = {
    "simulate": Job(
        {"train": "60", "test": "300", "out": "out"},
        (("os:replace", r"\.csv", 1),),
        *("out", 10_000_000),
    ),
    "pack": Job(
        {"psd_windows": "40", "data": "data", "out": "out"},
        (("os:replace", r"train/00000\.npy", 1), ("os:replace", r"gate/", 1)),
        *("out", 1_000_000),
    ),
    "predict": Job(
        {"data": "data", "model": "model", "out": "out/scores.csv"},
        (("os:replace", r"000000256\.parquet", 1), ("os:replace", r"scores\.csv", 1)),
        *("out", 8_000),
    ),
    "search": Job(
        {"strain": "strain", "model": "pretrained", "slides": "2", "threshold": "8"},
        (
            ("gwres.proof:packed", "", 4),
            ("os:replace", "first-", 1),
        ),
        *("cache", 500_000),
    ),
}


@pytest.fixture(scope="module")
def placed(undisturbed, tmp_path_factory):
    """Settings of a job in a folder: places in place of their names."""
    strain = tmp_path_factory.mktemp("strain") / "noise.hdf"
    rehearsal.write(strain, 96, seed=1)
    model = f"runs:/{undisturbed[0].trained.info.run_id}/model"
    data = tmp_path_factory.mktemp("data") / "set"
    dataset.write(data, population("g2net"), 60, 300, seed=0)
    known = {"model": model, "strain": str(strain), "data": str(data)}

    def placed(name, folder):
        told = {
            key: str(folder / one) if key == "out" else known.get(one, one)
            for key, one in JOBS[name].settings.items()
        }
        return told

    return placed


@pytest.fixture
def found(undisturbed, monkeypatch):
    """Runs a job to its end, in this process; what it has found and written."""
    project = undisturbed[0]
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", project.store)
    mlflow.set_tracking_uri(project.store)

    def found(name, settings, folder):
        monkeypatch.setenv("GWRES_CACHE", str(folder / "cache"))
        module = importlib.import_module(f"gwres.mlproject.{name}")
        entries.run(name, module.main, words(settings))
        return result(project.runs()[0]), contents(folder / "out")

    yield found
    mlflow.set_tracking_uri(None)


@pytest.mark.slow
@room
@pytest.mark.parametrize("name", JOBS)
def test_other_jobs_end_alike(name, undisturbed, placed, found, tmp_path):
    """Killed in their phases, and on a full disk."""
    project, job = undisturbed[0], JOBS[name]
    ends = []
    for trouble in ("none", "killed", "full"):
        folder = tmp_path / trouble
        (folder / "out").mkdir(parents=True)
        cache, settings = folder / "cache", placed(name, folder)
        command = entry(settings, name)
        if trouble == "killed":
            for place, pattern, count in job.killed:
                killed(project, settings, cache, place, pattern, count, name)
        if trouble == "full":
            small = folder / job.full
            code, output = squeezed(project, command, cache, small, job.room)
            assert code == 2, output
            assert "No space left on device" in output and str(small) in output
            assert project.runs()[0].info.status == "FAILED"
        ends.append(found(name, settings, folder))
    for end in ends[1:]:
        assert end == ends[0]
