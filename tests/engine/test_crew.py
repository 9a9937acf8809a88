"""What every engine's crews do; `test_cluster` runs these tests on a cluster too."""

import os
from functools import partial

import psutil
import pytest

from gwres.cores import cores
from gwres.engine.item import TRIES
from gwres.engine.work import crew
from gwres.errors import InputError
from tests.engine import jobs
from tests.engine.test_work import until

SIZE = 2
CLUSTER = bool(os.environ.get("RAY_ADDRESS"))


def test_each_worker_makes_its_function_once_and_gives_its_part(tmp_path):
    with crew(partial(jobs.adder, 100, str(tmp_path)), SIZE) as workers:
        steps = [workers.step(10 * n, [1, 2]) for n in range(3)]
        processes = {process for step in steps for _, process in step}
        assert [[sum for sum, _ in step] for step in steps] == [
            [101 + 10 * n, 102 + 10 * n] for n in range(3)
        ]
        assert len(processes) == SIZE and os.getpid() not in processes
        assert len(list(tmp_path.iterdir())) == SIZE
    until(lambda: not any(map(psutil.pid_exists, processes)))


def test_what_a_killed_worker_was_at_is_done_again(tmp_path, caplog):
    with crew(partial(jobs.fragile, str(tmp_path)), SIZE) as workers:
        steps = [workers.step(n, [0, 1]) for n in range(3, 8)]
    assert (tmp_path / "mark").exists()
    assert steps == [[10 * n, 10 * n + 1] for n in range(3, 8)]
    [told] = [
        one.getMessage() for one in caplog.records if one.name == "gwres.engine.crew"
    ]
    assert told.startswith("worker 2 of 2 is lost, another does its part again: ")


def test_a_part_that_kills_its_workers_ends_the_job(tmp_path):
    with crew(partial(jobs.doomed, str(tmp_path)), SIZE) as workers:
        with pytest.raises(ChildProcessError, match=f"{TRIES} workers were") as raised:
            workers.step(0, [0, 1])
    assert raised.value.__notes__ == ["at worker 2 of 2"]
    assert len(list(tmp_path.iterdir())) == TRIES


@pytest.mark.parametrize(
    ("make", "message", "place"),
    [(jobs.choosy, "no 7", 2), (jobs.unmade, "no material", 1)],
)
def test_an_error_is_the_functions_own_and_names_its_worker(make, message, place):
    with crew(make, SIZE) as workers:
        with pytest.raises(ValueError, match=message) as raised:
            workers.step(7, [3, 7])
    assert raised.value.__notes__ == [f"at worker {place} of 2"]


def test_workers_share_the_cores():
    with crew(jobs.surroundings, SIZE) as workers:
        told = workers.step(None, ["GWRES_CORES", "TF_NUM_INTRAOP_THREADS"])
    # Of the cluster each node has one.
    assert told == ["1" if CLUSTER else str(max(1, cores() // SIZE))] * SIZE


def test_each_worker_has_a_gpu_of_its_own():
    """Ray numbers those of each machine; three are said to be in the cluster."""
    with crew(jobs.surroundings, SIZE, ["4", "7", "9"]) as workers:
        told = workers.step(None, ["CUDA_VISIBLE_DEVICES"] * SIZE)
    if CLUSTER:
        assert set(told) <= {"0", "1"}
    else:
        assert told == ["4", "7"]
    with pytest.raises(InputError, match="workers must be at most 3, .*; received 4"):
        crew(jobs.surroundings, 4, ["4", "7", "9"])
