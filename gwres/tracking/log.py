"""What MLflow is told of the present run: settings, metrics, data, files, the model."""

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
from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import ColSpec

import gwres
from gwres.models.resnet import DEPTHS
from gwres.pages import notes
from gwres.strain import SHAPE
from gwres.tracking import runs, store, tags, ui

logger = logging.getLogger(__name__)
EXPERIMENT = "gwres"
LONGEST = 8000  # characters of a tag that MLflow takes
HERE = Path(gwres.__file__).parent
# What a logged model needs to answer, no more: the network, not the simulation.
SERVED = ("mlflow", "numpy", "pandas", "scipy", "keras", "tensorflow-cpu")


@contextmanager
def run(name):
    """A run of the name; FAILED, with the error as a tag, if anything is raised.

    Under `mlflow run` it is the run that MLflow has begun, in the experiment that
    MLflow chose; otherwise a new one in `EXPERIMENT`.

    Yields:
        The `runs.Run`, as it begins.
    """
    chosen = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    store.open_store(None if os.environ.get("MLFLOW_RUN_ID") else chosen)
    with mlflow.start_run(log_system_metrics=False) as active:
        ui.prepare(active.info.experiment_id)
        _call(name)
        mlflow.set_tags({tags.ENTRY: name} | _provenance())
        experiment = mlflow.get_experiment(active.info.experiment_id)
        try:
            store.check_place(experiment.artifact_location, active.info.artifact_uri)
            yield runs.Run.of(active)
        except BaseException as error:
            mlflow.set_tag(tags.ERROR, _reason(error))
            raise


@contextmanager
def child(name):
    """A run of the name below the present one.

    Yields:
        The `runs.Run`, as it begins.
    """
    with mlflow.start_run(nested=True, run_name=name) as active:
        mlflow.set_tags(_provenance())
        yield runs.Run.of(active)


class Trial:
    """A nested run for one trial of a study, as `study.tune` records it.

    Attributes:
        state: complete, pruned or failed; the tag `gwres.state` at the end.
    """

    def __init__(self, number, chosen, settings):
        self.number, self.chosen, self.settings = number, chosen, settings
        self.scores, self.state = [], "complete"

    def __enter__(self):
        """Begin the run."""
        called = f"trial-{self.number:03d}"
        mlflow.start_run(nested=True, run_name=called)
        recipe(self.chosen)
        mlflow.set_tag(tags.NAME, called)
        return self

    def __call__(self, row):
        """Log an epoch."""
        self.scores.append(row[tags.VAL_AREA])
        epoch(row)

    def __exit__(self, kind, error, trace):
        """End the run: a pruned trial is finished, a failed one failed."""
        if error is not None and self.state != "pruned":
            self.state = "failed"
            mlflow.set_tag(tags.ERROR, _reason(error))
        text = notes.trial(self.number, self.state, self.settings, self.scores)
        describe(text, {tags.STATE: self.state, tags.ENTRY: "trial"})
        mlflow.end_run("FAILED" if self.state == "failed" else "FINISHED")


def _reason(error):
    """What a tag says of an error."""
    return f"{type(error).__name__}: {error}"[:LONGEST]


def _call(name):
    """Name the present run, unless an experiment has named it."""
    if tags.MEMBER not in mlflow.active_run().data.tags:
        mlflow.set_tag(tags.NAME, name)


def _provenance():
    """The version of gwres, and the commit where it is imported from its checkout."""
    provenance = {tags.VERSION: gwres.__version__}
    commit = _git("rev-parse", "HEAD")
    # An installed package may lie within some other repository, whose commit says
    # nothing of it: only one that keeps this very file is ours.
    if commit and _git("ls-files", "--error-unmatch", "__init__.py"):
        provenance[tags.COMMIT] = commit
    else:
        logger.info("not a git checkout: the run has no tag %s", tags.COMMIT)
    return provenance


def _git(*words):
    """What git answers of the folder that gwres is imported from; "" if it fails."""
    try:
        done = subprocess.run(
            ["git", "-C", str(HERE), *words], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def recipe(chosen):
    """Log a recipe: tuned settings as hp.*, the others by part; and its tags.

    The prefixes are told in `tags.PREFIXES`.
    """
    prefix = {"live": "hp", "fit": "hp", "frontend": "model.frontend"}
    params = {}
    for key, value in chosen.flat().items():
        part, _, name = key.rpartition(".")
        params[f"{prefix[part or key]}.{name}" if part in prefix else key] = value
    params["model.frontend"] = params.pop("frontend")
    mlflow.log_params(params)
    place = list(DEPTHS).index(chosen.model.depth)
    mlflow.set_tags(
        {
            tags.DEPTH: chosen.model.depth,
            tags.FRONTEND: chosen.frontend,
            tags.COLOUR: ui.colour(place, chosen.frontend),
        }
    )
    _call(chosen.name)


def corpus(data, source):
    """Log what is trained on and judged on, and the hash of the split.

    Args:
        data: a `Corpus`.
        source: where it comes from, as the user gave it.
    """
    mlflow.set_tag(tags.SPLIT_HASH, data.split_hash)
    for name, windows in data.judged.items():
        # Whole numbers would make MLflow warn of values that may be missing.
        table = windows.table[["id", "label"]].astype({"label": float})
        dataset = from_pandas(table, name=f"{data.name}-{name}"[:500], targets="label")
        mlflow.log_input(dataset, context=name, tags={"source": source})


def epoch(row):
    """Log one epoch's row of the history at its step, in one request."""
    now = int(pd.Timestamp.now().timestamp() * 1000)
    measured = [
        Metric(name, row[name], now, row["step"])
        for name in (tags.TRAIN_LOSS, tags.VAL_LOSS, tags.VAL_AREA)
        if row[name] is not None
    ]
    run_id = mlflow.active_run().info.run_id
    mlflow.MlflowClient().log_batch(run_id, metrics=measured)


def study(name, table, figures):
    """Log a study: its name, its best score, its trials, and figures by name."""
    mlflow.set_tag(tags.STUDY, name)
    complete = table[table["state"] == "complete"]
    mlflow.log_metric(tags.BEST_TRIAL, float(complete["value"].max()))
    mlflow.log_table(table, "study/trials.json")
    for called, figure in figures.items():
        mlflow.log_figure(figure, f"study/{called}.png")


def warn(text):
    """Say something that the reader of the run must know, there and on the screen."""
    logger.warning("%s", text)
    before = runs.present().tags.get(tags.WARNING)
    said = "; ".join([before, text] if before else [text])
    mlflow.set_tag(tags.WARNING, said[:LONGEST])


def describe(text, more=None):
    """Put a Markdown note on the present run's page, and tags for its columns."""
    named = {tags.NOTE: text} | (more or {})
    mlflow.set_tags({name: str(value)[:LONGEST] for name, value in named.items()})


def params(settings):
    """Log settings by name."""
    mlflow.log_params(settings)


def metrics(measured):
    """Log numbers by name."""
    mlflow.log_metrics({name: float(value) for name, value in measured.items()})


def files(folder):
    """Log every file below a folder at the same place in the run."""
    mlflow.log_artifacts(str(folder))


def file(path):
    """Log one file."""
    mlflow.log_artifact(str(path))


def model(classifier, example):
    """Log a classifier as a served model; see `served`.

    Args:
        classifier: keras.Model, raw strain to logit.
        example: strain (n, 3, 4096), kept as the input example.

    Returns:
        The logged model's id.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "classifier.keras"
        classifier.save(path)
        return served({"classifier": str(path)}, example)


def served(artifacts, example):
    """Log a model that MLflow can serve: signature, example, pinned requirements.

    The model's code is gwres itself, copied beside it; nothing is pickled. Its one
    parameter is `asd`, for callers who know the noise; see `serve.model`.

    Args:
        artifacts: what `scorer.Scorer` reads, name to path or URI; copied in.
        example: strain (n, 3, 4096), kept as the input example.

    Returns:
        The logged model's id.
    """
    kinds = {"logit": "double", "probability": "double", "detectors": "string"}
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.float64), (-1, *SHAPE))]),
        outputs=Schema([ColSpec(kind, name) for name, kind in kinds.items()]),
        # A list must have a list as its default; an empty one is no ASD.
        params=ParamSchema([ParamSpec("asd", "double", [], (-1,))]),
    )
    logged = mlflow.pyfunc.log_model(
        name="model",
        python_model=str(HERE / "serve" / "model.py"),
        artifacts=artifacts,
        code_paths=[str(HERE)],
        signature=signature,
        input_example=np.asarray(example, dtype=np.float64),
        pip_requirements=[f"{name}=={version(name)}" for name in SERVED],
    )
    return logged.model_id
