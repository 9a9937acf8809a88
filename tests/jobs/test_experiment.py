"""An experiment trains what is not finished, goes on after failures, and compares."""

import os
import signal

import mlflow
import numpy as np
import pandas as pd
import pytest

from gwres import experiment
from gwres.errors import InputError
from gwres.jobs import experiment as job
from gwres.jobs import publish
from gwres.pages.markdown import GAP
from gwres.tracking import log, runs, tags
from gwres.training.recipe import Recipe
from tests.pages.test_standings import made_up

START = job._start
SMALL = {"depth": 16, "bank": 48, "judged": 40, "psd_windows": 40}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def lab(store, tmp_path, monkeypatch, serial, request):
    """A store, and members whose training is replaced by predictions at once."""
    monkeypatch.chdir(store)
    mlflow.set_tracking_uri(f"sqlite:///{store / 'mlflow.db'}")

    class Lab:
        started, failing = [], set()

        def start(self, wanted, begin):
            """Do what members' processes do to their runs."""
            for called, run_id, member in wanted:
                yield called, run_id, self.train(run_id, member)

        def train(self, run_id, member):
            """A member's training; whether it went well."""
            called = runs.read(run_id).name
            self.started.append((called, run_id))
            with mlflow.start_run(run_id, nested=True):
                cost = {"cost/parameters": 10, "cost/train_core_seconds": 1.5}
                mlflow.log_metrics(cost)
                made = made_up(member.recipe.fit.seed, 2.0)
                for split, table in made.items():
                    table.to_parquet(tmp_path / f"{split}.parquet")
                    path = str(tmp_path / f"{split}.parquet")
                    mlflow.log_artifact(path, "predictions")
                if called in self.failing:
                    mlflow.end_run("FAILED")
                    return False
            return True

        def run(self, names, name=request.node.name):
            """Run an experiment of members of these names, and give its run's id."""
            members = {
                called: experiment.PlannedRun(self.base.vary({"seed": seed}))
                for seed, called in enumerate(names)
            }
            monkeypatch.setattr(experiment, "load", lambda *_: ("runs", members))
            monkeypatch.setattr(experiment, "question", lambda name: f"Is {name} so?")
            before = len(self.started)
            with log.run("experiment") as active:
                self.last = active.id
                try:
                    job.run(name, False, None)
                finally:
                    self.new = [called for called, _ in self.started[before:]]
            return self.last

        def children(self, parent):
            where = f"tags.`mlflow.parentRunId` = '{parent}'"
            found = mlflow.search_runs(
                experiment_names=["gwres"], filter_string=where, output_format="list"
            )
            return {run.info.run_name: run for run in found}

        def table(self, parent, name="table"):
            path = mlflow.artifacts.download_artifacts(
                run_id=parent, artifact_path=f"{name}.csv"
            )
            return pd.read_csv(path).set_index("name")

    made = Lab()
    # No test finds the runs of another.
    made.base = Recipe().vary(SMALL | {"samples": len(request.node.name)})
    monkeypatch.setattr(job, "_start", made.start)
    classical = made_up(99, 1.2)["holdout"]
    evidence = made_up(98, 1.1)["holdout"]
    scored = {"marginal": classical, "coherent": evidence}
    monkeypatch.setattr(publish, "baseline", lambda *given: scored[given[-1]])
    yield made
    mlflow.set_tracking_uri(None)


def test_finished_members_are_found_and_one_parent_shows_all(lab):
    first = lab.run(["a", "b"])
    assert lab.new == ["a", "b"]
    assert set(lab.children(first)) == {"a", "b"}
    second = lab.run(["a", "b", "c"])
    assert lab.new == ["c"]
    assert set(lab.children(second)) == {"a", "b", "c"}
    assert not lab.children(first)
    assert tracking_tags(first)["gwres.continued_by"] == second
    table = lab.table(second)
    together = ["matched filter", "coherent evidence", "mean of logits", "stacked"]
    assert list(table.index) == ["a", "b", "c", *together]
    assert table["parameters"].notna().sum() == 3
    assert table["tpr_at_fpr_0.001"].between(0, 1).all()
    compared = lab.table(second, "differences").reset_index()
    pairs = set(zip(compared["name"], compared["against"]))
    best = table["val_roc_auc"].idxmax()
    assert {("stacked", "matched filter"), ("stacked", best)} <= pairs
    assert {(best, "matched filter"), ("mean of logits", best)} <= pairs
    assert {(best, "coherent evidence"), ("stacked", "coherent evidence")} <= pairs
    # Of every row but the evidence itself, the same as the table of differences.
    assert list(table.index[table["over_evidence"].isna()]) == ["coherent evidence"]
    held = compared[compared["against"] == "coherent evidence"].set_index("name")
    for name, less in held.iterrows():
        ends = table.loc[name, [f"over_evidence{end}" for end in ("", "_low", "_high")]]
        assert list(ends) == pytest.approx(list(less[["difference", "low", "high"]]))
    _the_page_tells_it(second, table, lab.children(second)["c"].info)


def _the_page_tells_it(run_id, table, member):
    note = tracking_tags(run_id)["mlflow.note.content"].replace(GAP, "")
    assert note.startswith("### Is test_finished_members_are_found")
    area = table["roc_auc"]["stacked"]
    less = area - table["roc_auc"]["matched filter"]
    assert f"- **stacked** less matched filter: {less:+.4f} (" in note
    assert f"| stacked |  |  |  |  | {area:.4f} (" in note
    over = table["over_evidence"]["c"]
    assert f" | {over:+.4f} (" in note
    link = f"#/experiments/{member.experiment_id}/runs/{member.run_id}"
    assert f"| [c]({link}) |" in note
    assert f"plots%2Froc_auc.png&run_uuid={run_id}" in note
    files = {f.path for f in mlflow.MlflowClient().list_artifacts(run_id, "plots")}
    assert files == {"plots/roc_auc.png"}
    assert mlflow.get_run(run_id).data.metrics["roc_auc/stacked"] == area


def tracking_tags(run_id):
    return mlflow.get_run(run_id).data.tags


def test_a_failed_member_leaves_the_others_and_is_tried_again(lab):
    lab.failing = {"b"}
    with pytest.raises(ChildProcessError, match="1 of 3 members failed: b"):
        lab.run(["a", "b", "c"])
    first = lab.last
    assert mlflow.get_run(first).info.status == "FAILED"
    assert lab.new == ["a", "b", "c"]
    table = lab.table(first)
    assert table.loc["b", "run"].startswith("FAILED: ")
    assert np.isnan(table.loc["b", "roc_auc"])
    assert table.loc["c", "roc_auc"] > 0.5
    failed = lab.children(first)["b"].info.run_id
    assert (
        f"/runs/{failed}), failed{GAP} |" in tracking_tags(first)["mlflow.note.content"]
    )
    lab.failing = set()
    second = lab.run(["a", "b", "c"])
    assert lab.new == ["b"]
    runs = {run_id for called, run_id in lab.started if called == "b"}
    assert len(runs) == 1, "the run of the failed member goes on"
    assert {r.info.status for r in lab.children(second).values()} == {"FINISHED"}


def test_a_killed_parent_is_closed_by_the_next(lab):
    first = lab.run(["a"])
    mlflow.MlflowClient().update_run(first, "RUNNING")
    second = lab.run(["a"])
    assert mlflow.get_run(first).info.status == "KILLED"
    assert set(lab.children(second)) == {"a"}


def test_another_experiments_run_is_used_where_it_is(lab):
    first = lab.run(["a", "b"], "one")
    second = lab.run(["other name"], "two")
    assert lab.new == []
    assert set(lab.children(first)) == {"a", "b"}
    assert (
        lab.table(second).loc["other name", "run"]
        == lab.children(first)["a"].info.run_id
    )


def test_members_of_other_windows_have_a_filter_and_a_stack_of_their_own(
    lab, monkeypatch
):
    few = experiment.PlannedRun(lab.base.vary({"judged": 20}))
    members = {"many": experiment.PlannedRun(lab.base), "few": few}
    monkeypatch.setattr(experiment, "load", lambda *_: ("runs", members))
    monkeypatch.setattr(experiment, "question", str)
    with log.run("experiment") as active:
        job.run("mixed", False, None)
    names = list(lab.table(active.id).index)
    assert names[:2] == ["many", "few"]
    classical = ["matched filter", "coherent evidence"]
    assert [name.partition(",")[0] for name in names[2:]] == classical * 2
    assert len(set(names)) == 6


def test_one_experiment_runs_once_at_a_time(lab):
    with log.run("experiment"), job._exclusive("test"):
        with pytest.raises(InputError, match="test is being run already"):
            job._exclusive("test")
        with job._exclusive("another"):
            pass


def test_a_measurement_is_logged(lab, monkeypatch):
    table = pd.DataFrame({"name": ["g2net"], "roc_auc": [0.85]})
    # A name as people write it, with signs that MLflow refuses in a metric's.
    found = {"g2net/roc_auc": 0.85, "g2net (all), 2 sets/roc_auc": 0.86}
    measured = experiment.Measured(table, found)
    monkeypatch.setattr(experiment, "load", lambda *_: ("measure", lambda: measured))
    with log.run("experiment") as active:
        job.run("populations", False, None)
    run_id = active.id
    logged = mlflow.get_run(run_id).data.metrics
    assert logged == {"g2net/roc_auc": 0.85, "g2net all 2 sets/roc_auc": 0.86}
    assert lab.table(run_id).loc["g2net", "roc_auc"] == 0.85
    note = tracking_tags(run_id)["mlflow.note.content"].replace(GAP, "")
    assert note.startswith("### Are the simulated populations as hard as the comp")
    assert "| g2net | 0.8500 |" in note


def dies(name, main, argv):
    """Stands for `entry.run` in a process that is killed for its memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_member_that_is_killed_is_failed_and_says_so(lab):
    with log.run("experiment"):
        run_id = runs.schedule("a", {tags.MEMBER: "digest"})
        member = experiment.PlannedRun(lab.base)
        assert list(START([("a", run_id, member)], dies)) == [("a", run_id, False)]
    run = mlflow.get_run(run_id)
    assert run.info.status == "FAILED"
    error = run.data.tags["gwres.error"]
    assert "3 workers were lost with it: the last was killed" in error
