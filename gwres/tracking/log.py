"""What MLflow is told of the present run: settings, metrics, data, files, the model."""

import logging
import os
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.data.pandas_dataset import from_pandas
from mlflow.tracking.context.registry import resolve_tags

import gwres
from gwres.models.resnet import DEPTHS
from gwres.pages import notes
from gwres.tracking import outbox, runs, store, tags, ui

logger = logging.getLogger(__name__)
EXPERIMENT = "gwres"
LONGEST = 8000  # characters of a tag that MLflow takes
HERE = Path(gwres.__file__).parent
# Where what is said of a run goes, by the run's id.
_channels = {}


@contextmanager
def run(name):
    """A run of the name; FAILED, with the error as a tag, if anything is raised.

    Under `mlflow run` it is the run that MLflow has begun, in the experiment that
    MLflow chose; otherwise a new one in `EXPERIMENT`.

    Yields:
        The `runs.Run`, as it begins.

    Raises:
        Unsent: all is done, but a tracking server that is away has not been told all.
    """
    chosen = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    store.open_store(None if os.environ.get("MLFLOW_RUN_ID") else chosen)
    active = mlflow.start_run(log_system_metrics=False)
    begun = runs.Run.of(active)
    status = "FAILED"
    try:
        _channels[begun.id] = outbox.channel(begun)
        ui.prepare(begun.experiment_id)
        _call(name)
        _tag({tags.ENTRY: name} | _provenance())
        experiment = mlflow.get_experiment(begun.experiment_id)
        store.check_place(experiment.artifact_location, active.info.artifact_uri)
        yield begun
        status = "FINISHED"
    except BaseException as error:
        _tag({tags.ERROR: _reason(error)})
        raise
    finally:
        _end(status)


def _end(status):
    """End the present run; raise `Unsent` of one that is finished."""
    active = mlflow.active_run().info.run_id
    try:
        _say("end", status=status, at=_now())
        _channels.pop(active).close()
    except outbox.Unsent as left:
        if status == "FINISHED":
            raise
        logger.error("%s", left)
    finally:
        # MLflow forgets the run and tells the server, which has the end from above, or
        # is away.
        with outbox.no_retries(), suppress(mlflow.MlflowException):
            mlflow.end_run(status)


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
        self.run = f"trial-{number:03d}"

    def __enter__(self):
        """Begin the run."""
        active = mlflow.active_run().info
        named = {tags.PARENT: active.run_id, tags.NAME: self.run}
        _say(
            "trial",
            self.run,
            experiment=active.experiment_id,
            tags=resolve_tags(named),
            at=_now(),
        )
        recipe(self.chosen, self.run)
        return self

    def __call__(self, row):
        """Log an epoch."""
        self.scores.append(row[tags.VAL_AREA])
        epoch(row, self.run)

    def __exit__(self, kind, error, trace):
        """End the run: a pruned trial is finished, a failed one failed."""
        if error is not None and self.state != "pruned":
            self.state = "failed"
            _tag({tags.ERROR: _reason(error)}, self.run)
        text = notes.trial(self.number, self.state, self.settings, self.scores)
        describe(text, {tags.STATE: self.state, tags.ENTRY: "trial"}, self.run)
        status = "FAILED" if self.state == "failed" else "FINISHED"
        _say("end", self.run, status=status, at=_now())


def _reason(error):
    """What a tag says of an error."""
    return f"{type(error).__name__}: {error}"[:LONGEST]


def _channel():
    """What the present run says goes through this."""
    active = mlflow.active_run()
    if active.info.run_id not in _channels:
        _channels[active.info.run_id] = outbox.Direct(active.data.tags)
    return _channels[active.info.run_id]


def _say(kind, run=None, files=None, **content):
    """Say something of the present run, or of a trial below it.

    Args:
        kind: one of `messages.KINDS`.
        run: name of a trial, or None.
        files: path of a file or a folder, or None.
        content: what its function there takes, JSON-able.

    Returns:
        What the function gives, if it is said at once.
    """
    run = run or mlflow.active_run().info.run_id
    return _channel().put({"kind": kind, "run": run, "content": content}, files)


def _tag(named, run=None):
    """Set tags, text of at most `LONGEST` characters."""
    named = {name: str(value) for name, value in named.items()}
    if run is None:
        _channel().tags.update(named)
    _say("tags", run, tags=named)


def _now():
    """Milliseconds since 1970."""
    return int(pd.Timestamp.now("UTC").timestamp() * 1000)


def _call(name):
    """Name the present run, unless an experiment has named it."""
    if tags.MEMBER not in mlflow.active_run().data.tags:
        _tag({tags.NAME: name})


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


def recipe(chosen, run=None):
    """Log a recipe: tuned settings as hp.*, the others by part; and its tags.

    The prefixes are told in `tags.PREFIXES`.

    Args:
        chosen: a `Recipe`.
        run: name of the trial that it is of; None for the present run.
    """
    prefix = {"live": "hp", "fit": "hp", "frontend": "model.frontend"}
    settings = {}
    for key, value in chosen.flat().items():
        part, _, name = key.rpartition(".")
        settings[f"{prefix[part or key]}.{name}" if part in prefix else key] = value
    settings["model.frontend"] = settings.pop("frontend")
    params(settings, run)
    place = list(DEPTHS).index(chosen.model.depth)
    _tag(
        {
            tags.DEPTH: chosen.model.depth,
            tags.FRONTEND: chosen.frontend,
            tags.COLOUR: ui.colour(place, chosen.frontend),
        },
        run,
    )
    if run is None:
        _call(chosen.name)


def corpus(data, source):
    """Log what is trained on and judged on, and the hash of the split.

    Args:
        data: a `Corpus`.
        source: where it comes from, as the user gave it.
    """
    _tag({tags.SPLIT_HASH: data.split_hash})
    for name, windows in data.judged.items():
        # Whole numbers would make MLflow warn of values that may be missing.
        table = windows.table[["id", "label"]].astype({"label": float})
        dataset = from_pandas(table, name=f"{data.name}-{name}"[:500], targets="label")
        _say(
            "data", data=dataset.to_dict(), tags={"source": source, tags.CONTEXT: name}
        )


def epoch(row, run=None):
    """Log one epoch's row of the history at its step, in one request.

    Args:
        row: see `fit.Trained`.
        run: name of the trial that it is of; None for the present run.
    """
    measured = {
        name: row[name]
        for name in (tags.TRAIN_LOSS, tags.VAL_LOSS, tags.VAL_AREA)
        if row[name] is not None
    }
    _say("epoch", run, metrics=measured, at=_now(), step=row["step"])


def study(name, table, figures):
    """Log a study: its name, its best score, its trials, and figures by name."""
    _tag({tags.STUDY: name})
    complete = table[table["state"] == "complete"]
    metrics({tags.BEST_TRIAL: complete["value"].max()})
    _say("table", path="study/trials.json", columns=table.to_dict("list"))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "study"
        out.mkdir()
        for called, figure in figures.items():
            figure.savefig(out / f"{called}.png")
        files(folder)


def warn(text):
    """Say something that the reader of the run must know, there and on the screen."""
    logger.warning("%s", text)
    before = _channel().tags.get(tags.WARNING)
    said = "; ".join([before, text] if before else [text])
    _tag({tags.WARNING: said[:LONGEST]})


def describe(text, more=None, run=None):
    """Put a Markdown note on a run's page, and tags for its columns.

    Args:
        text: of the note.
        more: dict of tags, or None.
        run: name of the trial that it is of; None for the present run.
    """
    named = {tags.NOTE: text} | (more or {})
    _tag({name: str(value)[:LONGEST] for name, value in named.items()}, run)


def params(settings, run=None):
    """Log settings by name, of the present run or of a trial of that name."""
    if settings:
        _say("params", run, params={name: str(one) for name, one in settings.items()})


def metrics(measured):
    """Log numbers by name."""
    numbers = {name: float(value) for name, value in measured.items()}
    if numbers:
        _say("metrics", metrics=numbers, at=_now())


def files(folder):
    """Log every file below a folder at the same place in the run."""
    _say("files", files=folder)


def file(path):
    """Log one file."""
    _say("files", files=path)


def model(classifier, example):
    """Log a classifier as a served model; see `messages.served`.

    Args:
        classifier: keras.Model, raw strain to logit.
        example: strain (n, 3, 4096), kept as the input example.

    Returns:
        The logged model's id; None where a server is told later.
    """
    with tempfile.TemporaryDirectory() as folder:
        classifier.save(Path(folder) / "classifier.keras")
        np.save(Path(folder) / "example.npy", np.asarray(example))
        experiment = mlflow.active_run().info.experiment_id
        return _say("model", files=folder, experiment=experiment)
