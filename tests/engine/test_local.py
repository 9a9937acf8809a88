"""What only processes of this machine do, or do in a way of their own."""

import multiprocessing
import os
import signal
import subprocess
import sys

import pytest

from gwres.engine.work import asked, each
from gwres.engine.work import jobs as jobs_of
from gwres.errors import InputError
from tests.engine import jobs
from tests.engine.test_work import alive, called, until


@pytest.fixture(autouse=True)
def _two(monkeypatch):
    monkeypatch.setenv("GWRES_WORKERS", "2")


def test_a_worker_killed_while_it_sends_is_no_result_and_no_deadlock(tmp_path):
    """It holds its result until it is asked for: more than a pipe takes in."""
    results = each(jobs.large, [(number, str(tmp_path)) for number in range(4)])
    assert next(results) == b"\0"
    (tmp_path / "go").touch()
    mark = tmp_path / "1"
    until(lambda: mark.is_file() and mark.read_text().endswith("\n"))
    [process] = mark.read_text().split()
    until(lambda: sleeping(process))
    os.kill(int(process), signal.SIGKILL)
    assert list(results) == [bytes([n]) * 8_000_000 for n in range(1, 4)]
    assert len(mark.read_text().split()) == 2


def sleeping(process):
    with open(f"/proc/{process}/stat") as file:
        return file.read().rpartition(") ")[2][0] == "S"


def test_a_result_that_cannot_be_sent_is_told():
    with pytest.raises(RuntimeError, match="its result cannot be sent: ") as raised:
        list(each(jobs.unsendable, range(5), called))
    assert raised.value.__notes__ == ["at the item 2"]


def test_how_a_worker_ended_is_told(tmp_path):
    with pytest.raises(ChildProcessError, match="the last ended with exit code 7"):
        list(each(jobs.leaving, range(3)))
    with pytest.raises(ChildProcessError, match="was killed, as .* memory runs out"):
        list(each(jobs.fatal, [(3, str(tmp_path))]))


def test_no_process_stays_behind_nor_waits_for_the_last_results_to_be_taken():
    results = each(jobs.square, range(4))
    for _ in range(4):
        next(results)
    until(lambda: not multiprocessing.active_children())


def test_there_are_no_more_workers_than_items():
    results = each(jobs.long, [(0, "")])
    assert next(results) == 0
    assert len(multiprocessing.active_children()) <= 1


def test_a_wrong_number_of_workers_is_refused(monkeypatch):
    monkeypatch.setenv("GWRES_WORKERS", "many")
    with pytest.raises(InputError, match="GWRES_WORKERS must be .* received many"):
        list(each(jobs.square, range(4)))


@pytest.mark.parametrize(
    ("number", "address", "size"),
    [
        ("", "", None),
        ("3", "", 3),
        ("1", "", None),
        ("1", "one:1", 1),
        ("", "a:1", None),
    ],
)
def test_a_crew_is_as_large_as_asked_for(monkeypatch, number, address, size):
    """One process of this machine would be this one over again."""
    monkeypatch.setenv("GWRES_WORKERS", number)
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert asked() == size


PROGRAM = """
import sys
from gwres.engine.work import asked, each
from gwres.engine.work import jobs as jobs_of
from tests.engine import jobs

if __name__ == "__main__":
    list(each(jobs.long, [(number, sys.argv[1]) for number in range(9)]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_program_however_that_ends(tmp_path, number):
    """Ctrl-C reaches the workers also, which say nothing of their own."""
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    marks = tmp_path / "marks"
    marks.mkdir()
    process = subprocess.Popen(
        [sys.executable, script, marks],
        env=os.environ | {"PYTHONPATH": os.getcwd()},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # What a shell starts in the background ignores Ctrl-C, and what that starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    until(lambda: len(alive(marks)) == 2)
    send = os.killpg if number == signal.SIGINT else os.kill
    send(process.pid, number)
    _, told = process.communicate(timeout=120)
    assert process.returncode == -number
    until(lambda: not alive(marks))
    assert told.count("Traceback") == (number == signal.SIGINT)


def test_workers_share_the_cores(monkeypatch):
    """And so do the libraries that they load."""
    monkeypatch.setenv("GWRES_CORES", "6")
    names = ["GWRES_CORES", "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"]
    assert list(each(os.getenv, names)) == ["3"] * 3
    assert list(jobs_of(os.getenv, names)) == ["3"] * 3
