"""MLflow opens its SQLite stores through gwres, one process at a time."""

import sqlite3
import threading

import mlflow
import pytest
from mlflow.server.handlers import ModelRegistryStoreRegistryWrapper as ServerModels
from mlflow.server.handlers import TrackingStoreRegistryWrapper as ServerRuns
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Models
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Runs
from mlflow.tracking._model_registry.utils import _get_store_registry
from mlflow.tracking._tracking_service.utils import _tracking_store_registry

from gwres import store

RUNS = ("mlflow.tracking_store", "sqlite", store.tracking)
MODELS = ("mlflow.model_registry_store", "sqlite", store.models)


@pytest.mark.parametrize("registry", [_tracking_store_registry, ServerRuns()])
def test_client_and_server_open_runs_through_it(registry):
    assert registry.get_store_builder("sqlite:///a.db") is store.tracking


@pytest.mark.parametrize("registry", [_get_store_registry(), ServerModels()])
def test_client_and_server_open_models_through_it(registry):
    assert registry.get_store_builder("sqlite:///a.db") is store.models


def test_the_stores_are_mlflows_own_and_nothing_is_left_beside(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert type(store.tracking(uri, str(tmp_path / "files"))) is Runs
    assert type(store.models(uri)) is Models
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_a_store_with_runs_is_opened_as_it_is(tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    made = mlflow.MlflowClient(uri).create_run("0", run_name="first").info.run_id
    before = tables(tmp_path / "mlflow.db")
    again = store.tracking(uri)
    assert again.get_run(made).info.run_name == "first"
    assert tables(tmp_path / "mlflow.db") == before


def tables(path):
    with sqlite3.connect(path) as connection:
        return sorted(connection.execute("SELECT name, sql FROM sqlite_master"))


def test_one_waits_for_the_other(tmp_path, monkeypatch):
    """By relative and by absolute path it is the same database, the same lock."""
    monkeypatch.chdir(tmp_path)
    opened = threading.Event()

    def second():
        store.tracking("sqlite:///mlflow.db")
        opened.set()

    with store._alone(f"sqlite:///{tmp_path / 'mlflow.db'}"):
        waiting = threading.Thread(target=second)
        waiting.start()
        assert not opened.wait(1.5)
    waiting.join(60)
    assert opened.is_set()
