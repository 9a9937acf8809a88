"""The store that runs are kept in, and locks that its users share."""

import os
from urllib.parse import urlsplit

import mlflow

from gwres import cache
from gwres.engine.work import CLUSTER
from gwres.errors import InputError


def lock(kind):
    """The lock of that kind that belongs to the present store; see `cache.lock`."""
    return cache.lock(kind, os.path.abspath(".") + mlflow.get_tracking_uri())


def check_reached():
    """Raise unless workers, which may be on other machines, reach the present store.

    Raises:
        InputError: a cluster is asked for, and the store is a file of this machine.
    """
    uri = mlflow.get_tracking_uri()
    if os.environ.get(CLUSTER) and not uri.startswith("http"):
        raise InputError(
            "MLFLOW_TRACKING_URI must be the address of a tracking server, which all "
            f"machines of a cluster reach; received {uri}"
        )


def open_store(experiment=None):
    """Open the store, and make what it lacks.

    Two processes that open a new database at once both try to make its tables, and one
    fails; so do two that make one experiment. Here they take turns. `mlflow run` itself
    opens the store before any code of gwres is run, where nothing can keep two apart.

    Args:
        experiment: name of the experiment for the runs to come, made if there is none;
            None leaves it to MLflow, which has chosen one under `mlflow run`.

    Raises:
        InputError: a server does not answer, or not this user; or its URL holds a
            password, which errors would show.
    """
    uri = mlflow.get_tracking_uri()
    remote = uri.startswith("http")
    if remote and urlsplit(uri).password:
        raise InputError(
            "MLFLOW_TRACKING_URI must hold no password; received one: put it into "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or into "
            "~/.mlflow/credentials"
        )
    try:
        _open(experiment)
    except mlflow.MlflowException as error:
        if remote:
            raise InputError(
                f"the tracking server {uri} must answer, and the user be one of its "
                f"own: {error}"
            ) from error
        raise


def _open(experiment):
    with lock("store"):
        client = mlflow.MlflowClient()
        # The first question to each half of the store makes its tables.
        client.search_experiments(max_results=1)
        client.search_registered_models(max_results=1)
        if experiment is not None:
            mlflow.set_experiment(experiment)
