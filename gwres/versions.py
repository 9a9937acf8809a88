"""Finds a logged model by the name that a user gives it, and loads it."""

import sys

import mlflow
import numpy as np

from gwres.errors import InputError
from gwres.progress import progress

BATCH = 64  # windows
CHAMPION = "champion"  # the alias of what a bare name means, where there is one


def pin(model):
    """The URI of one model, which stays that model's.

    Only what describes the model is read; its files may still be gone.

    Args:
        model: gwres-resnet34/3, gwres-ensemble@champion, gwres-resnet34 (its champion
            or, without one, its newest version), each with or without models:/ before
            it; or runs:/<run id>/model.

    Returns:
        URI, with the version in place of an alias or a bare name.

    Raises:
        InputError: there is no such model, or it does not turn strain into logits.
    """
    try:
        uri = model if model.startswith("runs:/") else _version(model)
        signature = mlflow.models.get_model_info(uri).signature
    except (mlflow.MlflowException, OSError) as error:
        raise InputError(
            "model must be registered, such as gwres-ensemble@champion or "
            f"gwres-resnet18/2, or runs:/<run id>/model; received {model}: {error}"
        ) from None
    outputs = signature.outputs.input_names() if signature and signature.outputs else []
    if "logit" not in outputs:
        raise InputError(
            f"model must have a column logit among its outputs; {model} has "
            f"{', '.join(map(str, outputs)) or 'none'}"
        )
    return uri


def _version(model):
    """models:/name/version, or models:/m-<id> of a model that is not registered."""
    client = mlflow.MlflowClient()
    plain = model.removeprefix("models:/")
    name, _, alias = plain.partition("@")
    if alias:
        return (
            f"models:/{name}/{client.get_model_version_by_alias(name, alias).version}"
        )
    name, _, version = plain.partition("/")
    if not version and name.startswith("m-"):
        return f"models:/{name}"
    if not version:
        version = client.get_registered_model(name).aliases.get(CHAMPION)
    if not version:
        latest = client.search_model_versions(
            f"name = '{name}'", 1, order_by=["version_number DESC"]
        )
        if not latest:
            raise InputError(f"model must have a version; {name} has none")
        version = latest[0].version
    return f"models:/{name}/{client.get_model_version(name, version).version}"


def opened(uri):
    """Load a model.

    Args:
        uri: as `pin` gives it.

    Returns:
        mlflow.pyfunc.PyFuncModel.

    Raises:
        InputError: its files are gone.
    """
    # The model brings the gwres of its day. Ours is loaded already, and processes that
    # are started later must not find the other one.
    before = list(sys.path)
    try:
        return mlflow.pyfunc.load_model(uri)
    except (mlflow.MlflowException, OSError) as error:
        raise InputError(f"{uri} cannot be loaded: {error}") from None
    finally:
        sys.path[:] = before


def load(uri):
    """Load a model as a function of strain (n, 3, 4096) to logits (n,), float64.

    Args:
        uri: as `pin` gives it.

    Raises:
        InputError: see `opened`.
    """
    model = opened(uri)

    def logits(windows):
        answer = model.predict(np.asarray(windows, dtype=np.float64))
        return answer["logit"].to_numpy(dtype=np.float64)

    return logits


def scored(uri, windows):
    """A model's predictions of windows.

    Args:
        uri: as `pin` gives it.
        windows: a `corpus.Windows`.

    Returns:
        DataFrame: the windows' table with a column logit.

    Raises:
        InputError: see `opened`.
    """
    logits = load(uri)
    parts = ((len(part), logits(part)) for part in windows.chunks(BATCH))
    found = list(progress(parts, len(windows), uri))
    return windows.table.assign(logit=np.concatenate(found))
