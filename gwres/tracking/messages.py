"""The kinds of messages that a run says to MLflow, and how each is said.

A message may be said twice, because its answer was lost: MLflow keeps metrics, tags,
parameters, data sets and files once; what it would keep twice is looked for.
"""

import tempfile
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path, PurePosixPath

import mlflow
import numpy as np
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
    RunTag,
)
from mlflow.models import Model, ModelSignature
from mlflow.tracking.context.registry import resolve_tags
from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import ColSpec

import gwres
from gwres import proof
from gwres.strain import SHAPE
from gwres.tracking.tags import NAME, PARENT

HERE = Path(gwres.__file__).parent
# What a logged model needs to answer, no more: the network, not the simulation.
SERVED = ("mlflow", "numpy", "pandas", "scipy", "keras", "tensorflow-cpu", "xxhash")


def deliver(message, files, ids, again):
    """Say a message to the store.

    Args:
        message: dict of kind, one of `KINDS`; run, the id of the run that it is of, or
            the name of a trial; content, dict of what the kind's function takes.
        files: path of a file or a folder, or None.
        ids: dict of trials' names to the ids of their runs; a trial that begins is
            added.
        again: whether the message may be there already.

    Returns:
        The logged model's id, of a model.
    """
    name = message["run"]
    said = KINDS[message["kind"]](
        ids.get(name, name), files, again, **message["content"]
    )
    if message["kind"] == "trial":
        ids[name] = said
    return said


def _trial(name, files, again, experiment, tags, at):
    """Begin a run below another; its id."""
    client = mlflow.MlflowClient()
    if again:
        where = " and ".join(f"tags.`{tag}` = '{tags[tag]}'" for tag in (PARENT, NAME))
        for run in client.search_runs([experiment], where):
            return run.info.run_id
    return client.create_run(experiment, at, tags, name).info.run_id


def _tags(run_id, files, again, tags):
    mlflow.MlflowClient().log_batch(run_id, tags=[RunTag(*one) for one in tags.items()])


def _params(run_id, files, again, params):
    mlflow.log_params(params, run_id=run_id)


def _metrics(run_id, files, again, metrics, at):
    # The client's `log_batch` would not give them to the model that the run has logged;
    # and of the present run MLflow need not ask the store.
    active = mlflow.active_run()
    here = active and active.info.run_id == run_id
    mlflow.log_metrics(metrics, run_id=None if here else run_id, timestamp=at)


def _epoch(run_id, files, again, metrics, at, step):
    measured = [Metric(name, value, at, step) for name, value in metrics.items()]
    mlflow.MlflowClient().log_batch(run_id, metrics=measured)


def _data(run_id, files, again, data, tags):
    named = [InputTag(*one) for one in tags.items()]
    given = DatasetInput(Dataset.from_dictionary(data), named)
    client = mlflow.MlflowClient()
    try:
        client.log_inputs(run_id, [given])
    except mlflow.MlflowException:
        # Of two runs that log the same new data set at once one fails; now it is there.
        client.log_inputs(run_id, [given])


def _files(run_id, files, again):
    client = mlflow.MlflowClient()
    log = client.log_artifacts if Path(files).is_dir() else client.log_artifact
    log(run_id, str(files))


def _table(run_id, files, again, path, columns):
    client = mlflow.MlflowClient()
    folder = str(PurePosixPath(path).parent)
    # MLflow appends to a table that is there.
    if again and path in [one.path for one in client.list_artifacts(run_id, folder)]:
        return
    client.log_table(run_id, columns, path)


def _model(run_id, files, again, experiment):
    """Log a classifier; its id."""
    client, half = mlflow.MlflowClient(), None
    if again:
        for one in client.search_logged_models(
            [experiment], f"source_run_id = '{run_id}'"
        ):
            if one.status == LoggedModelStatus.READY:
                return one.model_id
            # An attempt that ended in its midst.
            half = one
    example = np.load(Path(files) / "example.npy", allow_pickle=False)
    artifacts = {"classifier": str(Path(files) / "classifier.keras")}
    if half:
        return _completed(half, artifacts, example, client.get_run(run_id))
    # Made here, for MLflow by itself makes it in the experiment of the present run.
    settings = client.get_run(run_id).data.params
    made = client.create_logged_model(
        experiment, "model", run_id, tags=resolve_tags(), params=settings
    )
    return served(artifacts, example, run_id, made.model_id)


def _completed(half, artifacts, example, run):
    """Log the rest of a model that its run may name already; its id.

    MLflow's own way would have the run name it again, or name another beside it.
    """
    client, run_id = mlflow.MlflowClient(), run.info.run_id
    if half.model_id not in [one.model_id for one in run.outputs.model_outputs]:
        client.log_outputs(run_id, [LoggedModelOutput(half.model_id, step=0)])
    # As MLflow does, what the run has measured without a step is the model's too.
    given = {one.key for one in half.metrics or ()}
    measured = [
        Metric(one.key, one.value, one.timestamp, 0, model_id=half.model_id)
        for name in run.data.metrics.keys() - given
        for one in client.get_metric_history(run_id, name)
        if one.step == 0
    ]
    client.log_batch(run_id, metrics=measured)
    model = Model(
        artifact_path=half.artifact_location,
        model_uuid=half.model_id,
        run_id=run_id,
        model_id=half.model_id,
    )
    with _proven(artifacts) as known, tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model")
        mlflow.pyfunc.save_model(
            path, mlflow_model=model, artifacts=known, **_parts(example)
        )
        client.log_model_artifacts(half.model_id, path)
    client.finalize_logged_model(half.model_id, LoggedModelStatus.READY)
    return half.model_id


def _end(run_id, files, again, status, at):
    mlflow.MlflowClient().set_terminated(run_id, status, at)


# Functions of the run's id, the path of the files, whether it may be there already, and
# the message's content. Times are in ms since 1970.
KINDS = {
    "trial": _trial,
    "tags": _tags,
    "params": _params,
    "metrics": _metrics,
    "epoch": _epoch,
    "data": _data,
    "files": _files,
    "table": _table,
    "model": _model,
    "end": _end,
}


def served(artifacts, example, run_id=None, model_id=None, digests=None):
    """Log a model that MLflow can serve: signature, example, pinned requirements.

    The model's code is gwres itself, copied beside it; nothing is pickled. Its one
    parameter is `asd`, for callers who know the noise; see `serve.model`.

    Args:
        artifacts: what `scorer.Scorer` reads, name to path or URI; copied in, and
            with it their digests.
        example: strain (n, 3, 4096), kept as the input example.
        run_id: of the run that it is of; None for the present one.
        model_id: of the logged model that it becomes; None for a new one.
        digests: dict of name to digest of those given as URIs.

    Returns:
        The logged model's id.
    """
    # As `mlflow.pyfunc.log_model`, which knows the present run only.
    with _proven(artifacts, digests) as known:
        logged = Model.log(
            artifact_path=None,
            name="model",
            flavor=mlflow.pyfunc,
            run_id=run_id,
            model_id=model_id,
            artifacts=known,
            **_parts(example),
        )
    return logged.model_id


@contextmanager
def _proven(artifacts, digests=None):
    """Artifacts with the list of their digests."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / proof.LIST
        local = {name: Path(one) for name, one in artifacts.items()}
        proof.write_list(path, local | (digests or {}))
        yield artifacts | {"proof": str(path)}


def _parts(example):
    """What a model that can be served has beside its artifacts."""
    kinds = {"logit": "double", "probability": "double", "detectors": "string"}
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.float64), (-1, *SHAPE))]),
        outputs=Schema([ColSpec(kind, name) for name, kind in kinds.items()]),
        # A list must have a list as its default; an empty one is no ASD.
        params=ParamSchema([ParamSpec("asd", "double", [], (-1,))]),
    )
    return {
        "python_model": str(HERE / "serve" / "model.py"),
        "code_paths": [str(HERE)],
        "signature": signature,
        "input_example": np.asarray(example, dtype=np.float64),
        "pip_requirements": [f"{name}=={version(name)}" for name in SERVED],
    }
