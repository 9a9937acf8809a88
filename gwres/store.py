"""MLflow's own SQLite stores, opened by one process at a time.

Two processes that open a new database at once both try to make its tables, and one
fails; `mlflow run` opens it before any code of the project runs. So pyproject.toml
names these functions as MLflow's stores for `sqlite:`, for every MLflow in the
environment that gwres is installed in. MLflow imports this module while it is itself
being imported, hence its imports inside the functions.
"""

from pathlib import Path

from sqlalchemy.engine import make_url

from gwres import cache


def _alone(uri):
    """The lock of a database."""
    path = Path(make_url(uri).database or "").resolve()
    return cache.lock("store", str(path))


def tracking(store_uri, artifact_uri=None):
    """Open the store of runs, and make its tables if there are none.

    Args:
        store_uri: sqlite:///path.
        artifact_uri: where MLflow keeps files; None is MLflow's default.

    Returns:
        MLflow's SqlAlchemyStore.
    """
    from mlflow.tracking._tracking_service import utils

    with _alone(store_uri):
        return utils._get_sqlalchemy_store(store_uri, artifact_uri)


def models(store_uri):
    """Open the store of registered models, as `tracking` does that of runs."""
    from mlflow.tracking._model_registry import utils

    with _alone(store_uri):
        return utils._get_sqlalchemy_store(store_uri)
