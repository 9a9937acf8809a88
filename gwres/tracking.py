"""What MLflow is told: runs, parameters, metrics, data sets, models and files."""

import logging
import os
import subprocess
import tempfile
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.data.pandas_dataset import from_pandas
from mlflow.entities import Metric
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from mlflow.types.schema import ColSpec

import gwres
from gwres import cache, views
from gwres.errors import InputError
from gwres.models.resnet import DEPTHS
from gwres.strain import SHAPE

log = logging.getLogger(__name__)
EXPERIMENT = "gwres"
LONGEST = 8000  # characters of a tag that MLflow takes
MEMBER = "gwres.member"  # tag: what a member of an experiment is made from
# What a logged model needs to answer, no more: the network, not the simulation.
SERVED = ("mlflow", "numpy", "pandas", "scipy", "keras", "tensorflow-cpu")


def lock(kind):
    """The lock of that kind that belongs to the present store; see `cache.lock`."""
    return cache.lock(kind, os.path.abspath(".") + mlflow.get_tracking_uri())


@contextmanager
def run(name):
    """A run of the name; FAILED, with the error as a tag, if anything is raised.

    Under `mlflow run` it is the run that MLflow has begun, in the experiment that
    MLflow chose; otherwise a new one in `EXPERIMENT`.

    Yields:
        mlflow.ActiveRun.
    """
    if "MLFLOW_RUN_ID" not in os.environ and not os.environ.get(
        "MLFLOW_EXPERIMENT_NAME"
    ):
        mlflow.set_experiment(EXPERIMENT)
    with mlflow.start_run(log_system_metrics=False) as active:
        views.prepare(active.info.experiment_id)
        _call(name)
        mlflow.set_tags({"gwres.entry": name} | _provenance())
        try:
            yield active
        except BaseException as error:
            mlflow.set_tag("gwres.error", reason(error))
            raise


def reason(error):
    """What a tag says of an error."""
    return f"{type(error).__name__}: {error}"[:LONGEST]


def _call(name):
    """Name the present run, unless an experiment has named it."""
    run = mlflow.active_run()
    if MEMBER not in run.data.tags:
        mlflow.set_tag("mlflow.runName", name)


def _provenance():
    tags = {"gwres.version": gwres.__version__}
    try:
        here = Path(gwres.__file__).parent
        commit = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
        )
        tags["gwres.git_commit"] = commit.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        log.info("not a git checkout: the run has no tag gwres.git_commit")
    return tags


def recipe(chosen):
    """Log a recipe: tuned settings as hp.*, the others by part; and its tags.

    MLflow itself logs the parameters of `mlflow run` as raw text under their plain
    names, and a parameter cannot be logged twice, hence the prefixes.
    """
    prefix = {"live": "hp", "fit": "hp", "frontend": "model.frontend"}
    flat = {}
    for key, value in chosen.flat().items():
        part, _, name = key.rpartition(".")
        flat[f"{prefix[part or key]}.{name}" if part in prefix else key] = value
    flat["model.frontend"] = flat.pop("frontend")
    mlflow.log_params(flat)
    mlflow.set_tags(
        {
            "gwres.depth": chosen.model.depth,
            "gwres.frontend": chosen.frontend,
            "mlflow.runColor": views.colour(
                list(DEPTHS).index(chosen.model.depth), chosen.frontend
            ),
        }
    )
    _call(chosen.name)


def described(text, tags=None):
    """Put a Markdown note on the present run's page, and tags for its columns."""
    told({"mlflow.note.content": text} | (tags or {}), {})


def corpus(opened, source):
    """Log what is trained on and judged on, and the hash of the split."""
    mlflow.set_tag("gwres.split_hash", opened.split_hash)
    for name, windows in opened.judged.items():
        # Whole numbers would make MLflow warn of values that may be missing.
        table = windows.table[["id", "label"]].astype({"label": float})
        data = from_pandas(table, name=f"{opened.name}-{name}"[:500], targets="label")
        mlflow.log_input(data, context=name, tags={"source": source})


def epoch(row, run_id=None):
    """Log one epoch's row of the history at its step, in one request."""
    run_id = run_id or mlflow.active_run().info.run_id
    metrics = [
        Metric(key, row[key], int(pd.Timestamp.now().timestamp() * 1000), row["step"])
        for key in ("train/loss", "val/loss", "val/roc_auc")
        if row[key] is not None
    ]
    mlflow.MlflowClient().log_batch(run_id, metrics=metrics)


def classifier(model, example):
    """Log a classifier as a served model; see `served`.

    Args:
        model: a classifier, raw strain to logit.
        example: strain (n, 3, 4096), kept as the input example.

    Returns:
        mlflow's ModelInfo.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "classifier.keras"
        model.save(path)
        return served({"classifier": str(path)}, example)


def served(artifacts, example):
    """Log a model that MLflow can serve: signature, example, pinned requirements.

    The model's code is gwres itself, copied beside it; nothing is pickled.

    Args:
        artifacts: what `serving.Classifier` reads, name to path or URI; copied in.
        example: strain (n, 3, 4096), kept as the input example.

    Returns:
        mlflow's ModelInfo.
    """
    here = Path(gwres.__file__).parent
    kinds = {"logit": "double", "probability": "double", "detectors": "string"}
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.float64), (-1, *SHAPE))]),
        outputs=Schema([ColSpec(kind, name) for name, kind in kinds.items()]),
    )
    return mlflow.pyfunc.log_model(
        name="model",
        python_model=str(here / "serving.py"),
        artifacts=artifacts,
        code_paths=[str(here)],
        signature=signature,
        input_example=np.asarray(example, dtype=np.float64),
        pip_requirements=[f"{name}=={version(name)}" for name in SERVED],
    )


def weights(init):
    """Find the classifier that a training begins with.

    Args:
        init: "", the path of a .keras file, or the id of a run that logged a model.

    Returns:
        Path of a .keras file, or None for "".

    Raises:
        InputError: there is none.
    """
    if not init:
        return None
    if Path(init).is_file():
        return Path(init)
    try:
        return Path(
            mlflow.artifacts.download_artifacts(
                run_id=init, artifact_path="model/artifacts/classifier.keras"
            )
        )
    except mlflow.MlflowException as error:
        raise InputError(
            f"init must be a .keras file or the id of a run with a model; "
            f"received {init}: {error}"
        ) from None


def note(text):
    """Say something that the reader of the run must know, there and on the screen."""
    log.warning("%s", text)
    before = mlflow.get_run(mlflow.active_run().info.run_id).data.tags
    notes = [before["gwres.note"]] if "gwres.note" in before else []
    mlflow.set_tag("gwres.note", "; ".join([*notes, text])[:LONGEST])


@contextmanager
def child(name):
    """A run of the name below the present one."""
    with mlflow.start_run(nested=True, run_name=name) as active:
        mlflow.set_tags(_provenance())
        yield active


def result(metrics, notes, folder, settings=None):
    """Log what was found.

    Args:
        metrics: dict of name to number.
        notes: what could not be computed, and why.
        folder: every file below it is logged at the same place in the run.
        settings: dict of name to value, logged as parameters.
    """
    mlflow.log_params(settings or {})
    mlflow.log_metrics({key: float(value) for key, value in metrics.items()})
    for text in notes:
        note(text)
    mlflow.log_artifacts(str(folder))


def finish(metrics, notes, folder, model, example):
    """Log what a finished training shows: `result`, and the model.

    Args:
        metrics: as for `result`.
        notes: as for `result`.
        folder: as for `result`.
        model: a classifier.
        example: strain (n, 3, 4096).
    """
    result(metrics, notes, folder)
    classifier(model, example)


def place():
    """The ids of the present experiment and run."""
    info = mlflow.active_run().info
    return info.experiment_id, info.run_id


def show(metrics, texts, figures):
    """Log numbers by name, and files of text and figures by artifact path."""
    mlflow.log_metrics({key: float(value) for key, value in metrics.items()})
    for path, text in texts.items():
        mlflow.log_text(text, path)
    for path, figure in figures.items():
        mlflow.log_figure(figure, path)


def files(folder):
    """Log every file below a folder at the same place in the run."""
    mlflow.log_artifacts(str(folder))


def file(path):
    """Log one file."""
    mlflow.log_artifact(str(path))


def told(tags, metrics):
    """Log what came out, in words and in numbers."""
    mlflow.set_tags({name: str(value)[:LONGEST] for name, value in tags.items()})
    mlflow.log_metrics(metrics)
