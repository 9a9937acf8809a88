"""What every engine does; `test_cluster` runs these tests on a cluster too."""

import os
import time
from pathlib import Path

import psutil
import pytest

from gwres.engine.item import AHEAD, TRIES, Failure
from gwres.engine.work import each
from gwres.engine.work import jobs as long_jobs
from tests.engine import jobs

WORKERS = 2  # of the cluster also


@pytest.fixture(autouse=True)
def _two(monkeypatch):
    monkeypatch.setenv("GWRES_WORKERS", str(WORKERS))


def called(job):
    return f"the item {job[0] if isinstance(job, tuple) else job}"


def test_results_come_in_the_order_of_the_items():
    assert list(each(jobs.square, range(50))) == [n**2 for n in range(50)]


def test_late_items_are_waited_for_and_all_workers_work():
    numbers, processes = zip(*each(jobs.uneven, range(12)))
    assert numbers == tuple(range(12))
    assert len(set(processes)) == WORKERS
    assert os.getpid() not in processes


def test_of_no_items_come_no_results():
    assert list(each(jobs.square, [])) == []


def test_items_are_taken_no_further_ahead_than_workers_need():
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield taken

    results = each(jobs.square, endless())
    for number in range(1, 30):
        assert next(results) == number**2
        assert taken < number + AHEAD * WORKERS
    results.close()


def test_an_error_is_the_functions_own_and_names_its_item():
    results = each(jobs.odd, range(50), called)
    assert [next(results) for _ in range(5)] == list(range(5))
    with pytest.raises(ValueError, match="five is odd") as raised:
        next(results)
    assert raised.value.__notes__ == ["at the item 5"]
    assert "in odd" in str(raised.value.__cause__)


def test_an_error_that_cannot_be_sent_is_told_all_the_same():
    with pytest.raises(RuntimeError, match="Strange: one and 0") as raised:
        list(each(jobs.strange, range(3), called))
    assert raised.value.__notes__ == ["at the item 0"]


def test_the_item_of_a_killed_worker_is_done_again(tmp_path):
    work = [(number, str(tmp_path / "mark")) for number in range(9)]
    disturbed = list(each(jobs.once, work))
    assert (tmp_path / "mark").exists()
    assert disturbed == [bytes([number]) * 100_000 for number in range(9)]


def test_an_item_that_kills_its_workers_is_named(tmp_path):
    results = each(jobs.fatal, [(n, str(tmp_path)) for n in range(9)], called)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ChildProcessError, match=f"{TRIES} workers were lost") as raised:
        next(results)
    assert raised.value.__notes__ == ["at the item 3"]
    assert len(list(tmp_path.iterdir())) == TRIES


def alive(folder):
    """Processes that items told, those that are there still."""
    told = [int(path.read_text() or 0) for path in Path(folder).iterdir()]
    return [one for one in told if one and psutil.pid_exists(one)]


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.mark.parametrize("end", [KeyboardInterrupt, ValueError, None])
def test_who_stops_asking_stops_the_workers(tmp_path, end):
    work = [(number, str(tmp_path)) for number in range(9)]
    results = each(jobs.long, work)
    assert next(results) == 0
    until(lambda: (tmp_path / "1").is_file() and (tmp_path / "1").read_text())
    assert alive(tmp_path)
    if end:
        with pytest.raises(end):
            results.throw(end)
    else:
        results.close()
    until(lambda: not alive(tmp_path))
    assert len(list(tmp_path.iterdir())) < 6


def test_a_worker_does_by_itself_what_its_item_asks_for():
    for number, (own, *others) in enumerate(each(jobs.nested, range(4))):
        assert others == [own] * number


def test_a_job_has_a_process_of_its_own_and_workers_if_it_wants_them(monkeypatch):
    monkeypatch.setenv("GWRES_CORES", "1")
    made = list(long_jobs(jobs.whole, range(5)))
    numbers, processes, cores, others = zip(*made)
    assert numbers == tuple(range(5))
    assert len({os.getpid(), *processes, *others}) == 11
    assert set(cores) == {1}


def test_a_job_that_fails_stops_no_other_and_a_lost_one_begins_again(tmp_path):
    outcomes = list(long_jobs(jobs.odd, range(4, 7)))
    assert outcomes[0] == 4 and outcomes[2] == 6
    assert isinstance(outcomes[1], Failure)
    assert str(outcomes[1].error) == "five is odd"
    outcomes = list(long_jobs(jobs.fatal, [(n, str(tmp_path)) for n in range(2, 5)]))
    assert outcomes[0] == 2 and outcomes[2] == 4
    assert f"{TRIES} workers were lost with it" in str(outcomes[1].error)
    assert len(list(tmp_path.iterdir())) == TRIES
    mark = tmp_path / "mark"
    assert list(long_jobs(jobs.once, [(3, str(mark))])) == [b"\3" * 100_000]
