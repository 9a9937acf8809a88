"""A study in another database: two processes share it, in a real PostgreSQL."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from gwres.training import study as studies
from tests import readme

from .conftest import TINY

INSTALLED = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
TRIALS = 4

pytestmark = pytest.mark.skipif(not INSTALLED, reason="needs PostgreSQL")


@pytest.fixture(scope="module")
def database():
    """The URL of an empty database of a server that ends with the tests.

    It listens on a socket in a folder of its own, whose path must be short; and as
    another user where the tests run as root, whom it would refuse.
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
            run("createdb", "-h", str(folder), "-U", "me", "studies")
            yield f"postgresql+psycopg://me@/studies?host={folder}"
        finally:
            run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


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
    outputs = [process.communicate(timeout=500)[0] for process in both]
    for process, output in zip(both, outputs):
        assert process.returncode == 0, output
    runs = project.runs(parents=False)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    [name] = {parent.data.tags["gwres.study"] for parent in parents}
    opened = studies.storage(database)
    study = studies.begin(opened, name, 0)
    numbers = sorted(trial.number for trial in studies.finished(study))
    trials = study.get_trials(False)
    opened.remove_session()
    opened.engine.dispose()
    # Those that had begun when the last was finished are finished too.
    assert TRIALS <= len(numbers) <= TRIALS + 2
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
                    if studies.WORKER in trial.user_attrs:
                        _, process = trial.user_attrs[studies.WORKER].split()
                        os.kill(int(process), signal.SIGKILL)
                        return trial.number
            time.sleep(0.05)
        raise AssertionError(command.communicate()[0])
    finally:
        opened.remove_session()
        opened.engine.dispose()
