"""The store is opened by one process of gwres at a time."""

import sqlite3

import mlflow
import pytest

from gwres.tracking import store
from tests.contract import fresh


@pytest.fixture
def uri(tmp_path):
    before = mlflow.get_tracking_uri()
    yield f"sqlite:///{tmp_path / 'mlflow.db'}"
    mlflow.set_tracking_uri(before)


def tables(path):
    with sqlite3.connect(path) as connection:
        return sorted(connection.execute("SELECT name, sql FROM sqlite_master"))


def test_all_tables_are_made_and_nothing_is_left_beside(uri, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(uri)
    store.open_store("study")
    made = tables(tmp_path / "mlflow.db")
    assert {"runs", "registered_models"} <= {name for name, _ in made}
    assert mlflow.get_experiment_by_name("study").lifecycle_stage == "active"
    store.open_store("study")
    assert tables(tmp_path / "mlflow.db") == made
    assert {path.name for path in tmp_path.iterdir()} <= {"mlflow.db", "mlruns"}


def test_without_a_name_the_experiment_is_left_as_it_is(uri, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(uri)
    store.open_store()
    names = [one.name for one in mlflow.MlflowClient().search_experiments()]
    assert names == ["Default"]


STARTED = """
import subprocess, sys
code = "from gwres.tracking import store; store.open_store('both')"
both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
print([process.wait() for process in both])
"""


def test_three_at_once_on_a_fresh_store_all_succeed(uri, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert fresh(STARTED).stdout.strip() == "[0, 0, 0]"


UNTOUCHED = """
import mlflow
from importlib.metadata import distribution
from mlflow.tracking._tracking_service.utils import _tracking_store_registry as own
import gwres.tracking.log, gwres.tracking.registry
ours = list(distribution("gwres").entry_points)
print(ours, own.get_store_builder("sqlite:///a.db").__module__)
"""


def test_mlflow_opens_its_stores_by_itself():
    """No plugin of ours stands between any MLflow of the environment and its stores."""
    assert fresh(UNTOUCHED).stdout.split()[0] == "[]"
    assert "gwres" not in fresh(UNTOUCHED).stdout
