"""A whole experiment as a user runs it, with a member that fails."""

import pandas as pd

from tests.readme import command

FILE = '''"""Two members."""

from gwres import experiment

BASE = {"depth": 16}


def runs(smoke=False):
    """One that trains, one whose first weights are nowhere."""
    varied = {"bad": {"init": "no-such-run"}, "good": {}}
    return experiment.runs(varied, BASE, smoke)
'''


def test_members_are_nested_runs_and_one_that_fails_stops_no_other(project):
    (project.folder / "experiments" / "two.py").write_text(FILE)
    small = {"name": "two", "smoke": "true"}
    code, output = project.run(
        command("mlflow run . -e experiment -P name=depths", **small)
    )
    assert code != 0
    assert "member 2 of 2, good" in output
    assert "1 of 2 members failed: bad" in output
    runs = {run.info.run_name: run for run in project.runs(parents=False)}
    assert set(runs) == {"two-smoke", "bad", "good"}
    parent, good = runs.pop("two-smoke"), runs["good"]
    assert parent.info.status == "FAILED"
    for run in runs.values():
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.info.experiment_id == parent.info.experiment_id
    assert runs["bad"].info.status == "FAILED"
    assert "init must be" in runs["bad"].data.tags["gwres.error"]
    assert good.info.status == "FINISHED"
    assert good.data.params["model.depth"] == "16"
    assert len(good.data.tags["gwres.split_hash"]) == 16
    client = project.client()
    files = {item.path for item in client.list_artifacts(good.info.run_id)}
    assert {"predictions", "plots", "report.html"} <= files
    assert client.search_logged_models(
        [good.info.experiment_id], f"source_run_id = '{good.info.run_id}'"
    )
    path = client.download_artifacts(parent.info.run_id, "table.csv")
    table = pd.read_csv(path).set_index("name")
    assert table.loc["good", "roc_auc"] == good.data.metrics["holdout/roc_auc"]
    assert table.loc["matched filter", "roc_auc"] > 0.6
    assert "FAILED" in table.loc["bad", "run"]
    files = {item.path for item in client.list_artifacts(parent.info.run_id)}
    assert {"table.md", "table.html", "differences.csv"} <= files
