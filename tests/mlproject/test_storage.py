"""A study in another database: two processes share it, in a real PostgreSQL."""

import os
import signal
import time

import optuna
import pytest
from optuna.trial import TrialState

from gwres.training import study as studies
from tests import postgres, readme

from .conftest import TINY, ended

TRIALS = 4

pytestmark = pytest.mark.skipif(not postgres.INSTALLED, reason="needs PostgreSQL")


@pytest.fixture(scope="module")
def database():
    """The URL of an empty database of a server that ends with the tests."""
    with postgres.server() as (folder, run):
        run("createdb", "studies")
        yield f"postgresql+psycopg://me@/studies?host={folder}"


def test_two_commands_and_their_workers_share_a_study(project, database):
    """One of them gives its trials to two workers, of which one is killed."""
    words = readme.command(
        "mlflow run . --env-manager local -P depth=34 -P trials=30 -P storage=",
        **TINY | {"trials": str(TRIALS), "storage": database},
    )
    # MLflow makes the tables of a new store before gwres runs; see docs/train.md.
    project.client().search_experiments()
    both = [project.start(words), project.start([*words, "-P", "workers=2"])]
    killed = _kill_a_worker(database, both[1])
    outputs = [ended(process) for process in both]
    for process, output in zip(both, outputs):
        assert process.returncode == 0, output
    runs = project.runs(parents=False)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    [name] = {parent.data.tags["gwres.study"] for parent in parents}
    opened = studies.storage(database)
    study = studies.begin(opened, name, 0)
    numbers = sorted(trial.number for trial in studies.finished(study))
    trials = study.get_trials(False)
    postgres.leave(opened)
    # Those that had begun when the last was finished are finished too.
    assert TRIALS <= len(numbers) <= TRIALS + 3
    states = [trial.state.name for trial in trials]
    assert states.count("FAIL") == 1 and trials[killed].state.name == "FAIL"
    assert not {"RUNNING", "WAITING"} & set(states), "none lost"
    # Its settings were tried again, once.
    alike = [one.number for one in trials if one.params == trials[killed].params]
    assert len(alike) == 2 and alike[0] == killed
    by_parent = {
        parent.info.run_id: [
            run.info.run_name
            for run in runs
            if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id
        ]
        for parent in parents
    }
    first, second = by_parent.values()
    assert first and second, "each had a part in it"
    every = sorted(first + second)
    assert every == [f"trial-{number:03d}" for number in numbers], "none twice"


def _kill_a_worker(database, command):
    """Kill a worker of a command in its first trial; the trial's number."""
    opened = studies.storage(database)
    try:
        while command.poll() is None:
            for summary in optuna.get_all_study_summaries(opened):
                study = optuna.load_study(study_name=summary.study_name, storage=opened)
                for trial in study.get_trials(False, (TrialState.RUNNING,)):
                    # Not before its settings are known, which are to be tried again.
                    if studies.JOB in trial.user_attrs and len(trial.params) > 3:
                        _, process = trial.user_attrs[studies.WORKER].split()
                        os.kill(int(process), signal.SIGKILL)
                        return trial.number
            time.sleep(0.05)
        raise AssertionError(command.communicate()[0])
    finally:
        postgres.leave(opened)
