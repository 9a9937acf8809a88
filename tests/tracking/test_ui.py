"""How MLflow's UI shows the runs."""

import itertools
from pathlib import Path

import mlflow
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from gwres.models.classifier import FRONTENDS
from gwres.models.resnet import DEPTHS
from gwres.tracking import ui


def test_every_depth_and_front_end_has_a_colour_of_its_own():
    for frontend in FRONTENDS:
        colours = [ui.colour(i, frontend) for i in range(len(DEPTHS))]
        assert len(set(colours)) == len(DEPTHS)
        pairs = itertools.combinations([np.array(to_rgb(c)) for c in colours], 2)
        assert min(np.abs(a - b).max() for a, b in pairs) > 0.1
    assert ui.colour(0, "templates").upper() == "#0072B2"
    assert len({ui.colour(0, frontend) for frontend in FRONTENDS}) == len(FRONTENDS)


@pytest.fixture
def client(tmp_path, monkeypatch):
    """MLflow's client of an empty store."""
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    yield mlflow.MlflowClient()
    mlflow.set_tracking_uri(None)


def test_an_experiment_keeps_what_its_owner_chose(client):
    kind = "mlflow.experimentKind"
    made = client.create_experiment("own", tags={kind: "genai_development"})
    ui.prepare(made)
    tags = client.get_experiment(made).tags
    assert tags[kind] == "genai_development"
    assert "holdout/roc_auc" in tags["mlflow.sharedViewState.gwres"]


def test_two_runs_may_begin_at_once_in_a_new_experiment(client, monkeypatch):
    """A server's database refuses what another has written since it was asked."""
    made = client.create_experiment("new")
    write, others = mlflow.MlflowClient.set_experiment_tag, True

    def late(self, *told):
        if others:
            write(self, *told)
        raise mlflow.MlflowException("duplicate key value violates unique constraint")

    monkeypatch.setattr(mlflow.MlflowClient, "set_experiment_tag", late)
    ui.prepare(made)
    assert set(ui.TAGS) <= set(client.get_experiment(made).tags)
    others = False
    with pytest.raises(mlflow.MlflowException, match="duplicate key"):
        ui.prepare(client.create_experiment("another"))


def test_the_charts_begin_with_the_result():
    """In a section of their own, which MLflow does not sort among its others."""
    [section] = ui.STATE["compareRunSections"]
    charts = ui.STATE["compareRunCharts"]
    assert {chart["metricSectionId"] for chart in charts} == {section["uuid"]}
    assert len({chart["uuid"] for chart in charts}) == len(charts) == 3
    # Bars of areas, which begin at 0, would all look alike.
    assert "BAR" not in {chart["type"] for chart in charts}
    assert charts[0]["yaxis"]["key"] == "evidence/difference"
    assert ui.STATE["isAccordionReordered"]
    assert max(map(len, ui.TAGS.values())) < 5000


@pytest.mark.parametrize(
    ("uri", "command"),
    [
        ("sqlite:///mlflow.db", "mlflow server"),
        ("sqlite:///{here}/mlflow.db", "mlflow server"),
        ("sqlite:///{here}/other/../%6dlflow.db", "mlflow server"),
        (
            "sqlite:////else where/a.db",
            "mlflow server --backend-store-uri 'sqlite:////else where/a.db'",
        ),
        (
            "postgresql://me:secret@host/runs",
            "mlflow server --backend-store-uri 'postgresql://me:***@host/runs'",
        ),
    ],
)
def test_the_server_serves_the_store_that_was_written(
    uri, command, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert ui.server(uri.format(here=tmp_path)) == command


def test_lines_name_the_experiment_and_the_environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    try:
        mlflow.set_experiment("a study")
        with mlflow.start_run(tags={"mlflow.project.env": "virtualenv"}) as run:
            mlflow.log_text("<html", "report.html")
            report, look, promote = ui.next_steps()
            assert len(ui.next_steps(reported=False)) == 2
    finally:
        mlflow.set_tracking_uri(None)
    assert Path(report.removeprefix("report   ")).read_text() == "<html"
    assert f"/runs/{run.info.run_id}?workflowType=" in look
    words = "mlflow run . -e promote --experiment-name 'a study'"
    assert promote == f"promote  {words}"
