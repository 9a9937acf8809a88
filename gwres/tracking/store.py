"""The store that runs are kept in, and locks that its users share."""

import os
import shlex
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import mlflow
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from gwres import cache
from gwres.engine.work import CLUSTER
from gwres.errors import InputError

# What helps who may not write to the folder that a store lies in.
ELSEWHERE = (
    "start in a folder of yours, with `mlflow run /path/to/gwres` and the same words"
)


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


def database():
    """The file of a store in SQLite, absolute; None for any other store."""
    uri = mlflow.get_tracking_uri()
    if not uri.startswith("sqlite:///"):
        return None
    return Path(unquote(make_url(uri).database or "")).resolve()


def _check_database():
    """Refuse one that cannot be written to, which MLflow tries again for minutes."""
    path = database()
    if path is None:
        return
    # SQLite writes its journal beside the file.
    for place in (path.parent, path):
        if place.exists() and not os.access(place, os.W_OK):
            raise InputError(
                f"{place} must be writable for you, for it holds the store: {ELSEWHERE}"
            )


@contextmanager
def _opening():
    """What MLflow and its databases say of a store that cannot be used, as ours."""
    uri = mlflow.get_tracking_uri()
    try:
        yield
    except (mlflow.MlflowException, SQLAlchemyError) as error:
        text = f"the store {_shown(uri)} cannot be used: {_first_line(error)}"
        if uri.startswith("http"):
            text = (
                f"the tracking server {uri} must answer, and the user be one of its "
                f"own: {error}"
            )
        if "maintenance mode" in text:
            old = shlex.quote(local_file_uri_to_path(uri))
            text = (
                f"{old} is a store of files, which MLflow does not write to any more: "
                f"`mlflow migrate-filestore --source {old} --target "
                "sqlite:///mlflow.db` copies it; with or without that, "
                "MLFLOW_TRACKING_URI=sqlite:///mlflow.db in the environment goes on "
                "without it"
            )
        raise InputError(text) from error


def _shown(uri):
    """A store's URI without its password."""
    if "://" not in uri or uri.startswith("http"):
        return uri
    return make_url(uri).render_as_string(hide_password=True)


def _first_line(error):
    """The line of an error that tells; those after it are SQL and its parameters."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    # SQLAlchemy begins with a hint for programmers where a flush failed.
    told = [line for line in lines if not line.startswith("(raised as a result")]
    return (told or lines or [type(error).__name__])[0]


def open_store(experiment=None):
    """Open the store, and make what it lacks.

    Two processes that open a new database at once both try to make its tables, and one
    fails; so do two that make one experiment. Here they take turns. `mlflow run` itself
    opens the store before any code of gwres is run, where nothing can keep two apart.

    Args:
        experiment: name of the experiment for the runs to come, made if there is none;
            None leaves it to MLflow, which has chosen one under `mlflow run`.

    Raises:
        InputError: a store that cannot be opened or written to; a server that does not
            answer, or not this user; a URL that holds a password, which errors would
            show; or an experiment that has been deleted.
    """
    uri = mlflow.get_tracking_uri()
    if uri.startswith("http") and urlsplit(uri).password:
        raise InputError(
            "MLFLOW_TRACKING_URI must hold no password; received one: put it into "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or into "
            "~/.mlflow/credentials"
        )
    _check_database()
    with _opening(), lock("store"):
        client = mlflow.MlflowClient()
        # The first question to each half of the store makes its tables.
        client.search_experiments(max_results=1)
        client.search_registered_models(max_results=1)
        if experiment is not None:
            _choose(client, experiment)


def _choose(client, experiment):
    known = client.get_experiment_by_name(experiment)
    if known and known.lifecycle_stage == "deleted":
        raise InputError(
            f"experiment {experiment} has been deleted: `mlflow experiments restore "
            f"-x {known.experiment_id}` brings it back; MLFLOW_EXPERIMENT_NAME in the "
            "environment chooses another"
        )
    mlflow.set_experiment(experiment)


def check_place(recorded, uri):
    """Refuse a place for a run's files before anything is trained for it.

    Args:
        recorded: where the run's experiment keeps its files, a path or a URI.
        uri: where the run is to have its own.

    Raises:
        InputError: the store was moved and still names the old place, or no file can
            be written there.
    """
    if not is_local_uri(uri):
        return
    # Where the folder around it is there, it is an experiment without files yet.
    moved = "" if _path(recorded).parent.exists() else lead(recorded)
    if moved:
        raise InputError(
            f"the files of this store were recorded below {_path(recorded)}{moved}"
        )
    place = _path(uri)
    there = next(one for one in (place, *place.parents) if one.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise InputError(
            f"{there} must be a folder that you may write to, for the files of the "
            f"run: {ELSEWHERE}"
        )


def lead(recorded):
    """What to do where files are not at their recorded place but beside the store.

    MLflow records whole paths, so that a folder that is moved, renamed or unpacked
    elsewhere leaves its files behind.

    Args:
        recorded: their place, a path or a URI.

    Returns:
        Words that follow the recorded place, with the command that mends it; "" where
        they are there, or are not found.
    """
    file = database()
    if file is None or not is_local_uri(recorded) or _path(recorded).exists():
        return ""
    home, place = file.parent, _path(recorded)
    for old in reversed(place.parents):
        tail = place.relative_to(old)
        if len(tail.parts) > 1 and (home / tail).exists():
            break
    else:
        return ""
    new, root = shlex.quote(str(home)), shlex.quote(str(old))
    if old.exists():
        mend = f"cp -rn {shlex.quote(str(home / tail.parts[0]))} {root}/"
    else:
        mend = f"ln -sfn {new} {root}"
        if not old.parent.exists():
            mend = f"mkdir -p {shlex.quote(str(old.parent))} && {mend}"
    return f"; they lie at {home / tail}: `{mend}` leads MLflow there"


def _path(uri):
    return Path(local_file_uri_to_path(uri))
