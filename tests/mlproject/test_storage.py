"""A study in another database: two processes share it, in a real PostgreSQL."""

import pytest

from gwres.training import study as studies
from tests import postgres, readme

from .conftest import TINY

TRIALS = 4

pytestmark = pytest.mark.skipif(not postgres.INSTALLED, reason="needs PostgreSQL")


@pytest.fixture(scope="module")
def database():
    """The URL of an empty database of a server that ends with the tests."""
    with postgres.server() as (folder, run):
        run("createdb", "studies")
        yield f"postgresql+psycopg://me@/studies?host={folder}"


def test_two_processes_share_a_study(project, database):
    words = readme.command(
        "mlflow run . --env-manager local -P depth=34 -P trials=30 -P storage=",
        **TINY | {"trials": str(TRIALS), "storage": database},
    )
    # MLflow makes the tables of a new store before gwres runs; see docs/train.md.
    project.client().search_experiments()
    both = [project.start(words) for _ in range(2)]
    outputs = [process.communicate(timeout=500)[0] for process in both]
    for process, output in zip(both, outputs):
        assert process.returncode == 0, output
    runs = project.runs(parents=False)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    [name] = {parent.data.tags["gwres.study"] for parent in parents}
    opened = studies.storage(database)
    study = studies.begin(opened, name, 0)
    numbers = sorted(trial.number for trial in studies.finished(study))
    opened.remove_session()
    opened.engine.dispose()
    # One that had begun when the last was finished is finished too.
    assert TRIALS <= len(numbers) <= TRIALS + 1
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
