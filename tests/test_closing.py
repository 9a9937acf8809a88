"""The last lines on the screen."""

from pathlib import Path

import mlflow
import pytest

from gwres import closing


@pytest.mark.parametrize(
    ("uri", "command"),
    [
        ("sqlite:///mlflow.db", "mlflow server"),
        ("sqlite:///{here}/mlflow.db", "mlflow server"),
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
    assert closing.server(uri.format(here=tmp_path)) == command


def test_lines_name_the_experiment_and_the_environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    try:
        mlflow.set_experiment("a study")
        with mlflow.start_run(tags={"mlflow.project.env": "virtualenv"}) as run:
            mlflow.log_text("<html", "report.html")
            report, look, promote = closing.lines()
            assert len(closing.lines(reported=False)) == 2
    finally:
        mlflow.set_tracking_uri(before)
    assert Path(report.removeprefix("report   ")).read_text() == "<html"
    assert f"/runs/{run.info.run_id}?workflowType=" in look
    words = "mlflow run . -e promote --experiment-name 'a study'"
    assert promote == f"promote  {words}"
