"""How MLflow's UI shows the runs."""

import itertools

import mlflow
import numpy as np
from matplotlib.colors import to_rgb

from gwres import views
from gwres.models.classifier import FRONTENDS
from gwres.models.resnet import DEPTHS


def test_every_depth_and_front_end_has_a_colour_of_its_own():
    for frontend in FRONTENDS:
        colours = [views.colour(i, frontend) for i in range(len(DEPTHS))]
        assert len(set(colours)) == len(DEPTHS)
        pairs = itertools.combinations([np.array(to_rgb(c)) for c in colours], 2)
        assert min(np.abs(a - b).max() for a, b in pairs) > 0.1
    assert views.colour(0, "templates").upper() == "#0072B2"
    assert len({views.colour(0, frontend) for frontend in FRONTENDS}) == len(FRONTENDS)


def test_an_experiment_keeps_what_its_owner_chose(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    try:
        client = mlflow.MlflowClient()
        kind = "mlflow.experimentKind"
        made = client.create_experiment("own", tags={kind: "genai_development"})
        views.prepare(made)
        tags = client.get_experiment(made).tags
        assert tags[kind] == "genai_development"
        assert "holdout/roc_auc" in tags["mlflow.sharedViewState.gwres"]
    finally:
        mlflow.set_tracking_uri(before)


def test_the_charts_begin_with_the_result():
    """In a section of their own, which MLflow does not sort among its others."""
    [section] = views.VIEW["compareRunSections"]
    charts = views.VIEW["compareRunCharts"]
    assert {chart["metricSectionId"] for chart in charts} == {section["uuid"]}
    assert len({chart["uuid"] for chart in charts}) == len(charts) == 3
    assert views.VIEW["isAccordionReordered"]
    assert max(map(len, views.TAGS.values())) < 5000
