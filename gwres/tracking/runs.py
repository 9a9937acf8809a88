"""Runs in MLflow, read and amended: trainings, members of experiments."""

import logging
import tempfile
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath

import mlflow
import pandas as pd

from gwres import proof
from gwres.data.settings import SIMULATED, Data
from gwres.errors import InputError
from gwres.judging.predictions import read as read_table
from gwres.tracking import tags as names
from gwres.training.recipe import kind, parse

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A run as it was in the store when it was read.

    Args:
        id: of the run.
        experiment_id: of its experiment.
        name: of the run.
        status: RUNNING, SCHEDULED, FINISHED, FAILED or KILLED.
        tags: dict of name to text.
        params: dict of name to text.
        metrics: dict of name to the last value.
        artifact_uri: where its files are.
    """

    id: str
    experiment_id: str
    name: str
    status: str
    tags: dict
    params: dict
    metrics: dict
    artifact_uri: str

    @classmethod
    def of(cls, run):
        """From MLflow's own, which stays in this room."""
        info, data = run.info, run.data
        return cls(
            info.run_id,
            info.experiment_id,
            info.run_name,
            info.status,
            dict(data.tags),
            dict(data.params),
            dict(data.metrics),
            info.artifact_uri,
        )

    @property
    def place(self):
        """(experiment id, run id), which links to its page are made of."""
        return self.experiment_id, self.id


@dataclass(frozen=True)
class Member:
    """A finished training run that may become part of an ensemble.

    Args:
        run: a `Run`.
        score: the metric's best epoch on validation.
        model_id: of the logged model.
        version: of the registered model; None as long as there is none.
    """

    run: Run
    score: float
    model_id: str | None = None
    version: str | None = None

    @property
    def id(self):
        """The run's id."""
        return self.run.id

    @property
    def kind(self):
        """Depth and front end, whose best run a promotion takes: resnet34-waveform."""
        depth, frontend = (self.run.tags[tag] for tag in (names.DEPTH, names.FRONTEND))
        return kind(depth, frontend, self.data.noise)

    @property
    def name(self):
        """The registered model's name: gwres-resnet34-waveform."""
        return f"gwres-{self.kind}"

    @property
    def split_hash(self):
        """Which window is in which split; see `split.split_hash`."""
        return self.run.tags[names.SPLIT_HASH]

    @property
    def hashed(self):
        """Whether the ids are those of files, whose split is a function of the id."""
        return self.run.params.get("data.source") != SIMULATED

    @property
    def data(self):
        """The `Data` that it was trained and judged on."""
        kinds = {one.name: one.type for one in fields(Data)}
        # Runs of before a setting came have what it is by itself.
        logged = {
            name: self.run.params[f"data.{name}"]
            for name in kinds
            if f"data.{name}" in self.run.params
        }
        return Data(**{name: parse(name, kinds[name], logged[name]) for name in logged})


def present():
    """The present run, as it began: the store may be away since."""
    return Run.of(mlflow.active_run())


def read(run_id):
    """The `Run` of that id, as it is now."""
    return Run.of(mlflow.get_run(run_id))


@lru_cache
def experiment(experiment_id, uri):
    """The name of a store's experiment, asked once: the store may be away since.

    Args:
        experiment_id: of the experiment.
        uri: of the store that is open.
    """
    return mlflow.get_experiment(experiment_id).name


def tagged(tags):
    """Runs of the present run's experiment that have all of the tags, latest first.

    Returns:
        list of `Run`.
    """
    where = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    here = [mlflow.active_run().info.experiment_id]
    latest = ["attributes.start_time DESC"]
    return _search(here, where, latest)


def finished(experiment, metric):
    """The finished training runs of an experiment, trials of a study left out.

    Args:
        experiment: its name, or "own" for that of the active run.
        metric: of validation, logged by epoch; of each run the best epoch counts.

    Returns:
        list of `Member`; runs without the metric are not among them.

    Raises:
        InputError: another metric than one of validation; no such experiment or run.
    """
    if not metric.startswith("val/"):
        raise InputError(
            f"metric must be one of validation, such as {names.VAL_AREA}; received "
            f"{metric}"
        )
    experiments = {e.experiment_id: e.name for e in mlflow.search_experiments()}
    if experiment == "own":
        chosen = mlflow.active_run().info.experiment_id
    else:
        chosen = next((i for i, name in experiments.items() if name == experiment), "")
    runs = _trainings(chosen) if chosen else []
    scored = [Member(run, _best(run, metric)) for run in runs]
    members = [one for one in scored if one.score is not None]
    if not members:
        counts = {name: len(_trainings(i)) for i, name in experiments.items()}
        held = ", ".join(f"{name} ({c})" for name, c in counts.items() if c) or "none"
        raise InputError(
            f"experiment {experiments.get(chosen, experiment)} holds no finished "
            f"training run with {metric}; experiments that hold finished runs: {held}"
        )
    return members


def _search(experiments, where, order=None):
    """All runs of experiments that fit a filter, however many."""
    runs = mlflow.search_runs(experiments, where, order_by=order, output_format="list")
    return [Run.of(run) for run in runs]


def _trainings(experiment):
    """Finished runs that trained a network and are not a trial of a study."""
    needed = {names.DEPTH, names.FRONTEND, names.SPLIT_HASH}
    return [
        run
        for run in _search([experiment], "attributes.status = 'FINISHED'")
        if needed <= set(run.tags) and names.STATE not in run.tags
    ]


def _best(run, metric):
    if metric not in run.metrics:
        return None
    history = mlflow.MlflowClient().get_metric_history(run.id, metric)
    # Of a loss the least, as minus itself.
    sign = -1 if "loss" in metric else 1
    return max(sign * point.value for point in history)


def with_model(member):
    """The member with the id of its logged model.

    Raises:
        InputError: the run has none.
    """
    models = mlflow.MlflowClient().search_logged_models(
        [member.run.experiment_id], f"source_run_id = '{member.id}'"
    )
    if not models:
        raise InputError(f"run {member.id} ({member.kind}) has no logged model")
    model = max(models, key=lambda one: one.creation_timestamp)
    return replace(member, model_id=model.model_id)


def predictions(run_id, split):
    """The predictions table that a run logged for a split.

    Raises:
        InputError: there is none, or it is not as it was logged.
    """
    name = f"{split}.parquet"
    with tempfile.TemporaryDirectory() as folder:
        try:
            [local] = _fetched(run_id, "predictions", [name], folder)
            return read_table(local)
        except InputError as error:
            raise InputError(f"run {run_id}: {error}") from None
        except (mlflow.MlflowException, OSError) as error:
            raise InputError(
                f"run {run_id}: expected predictions/{name}, the predictions of the "
                f"split {split}; there is none: {error}"
            ) from None


def tables(run_id):
    """A run's predictions: dict of split to DataFrame.

    Raises:
        InputError: one is not as it was logged.
    """
    names = sorted(name for name in _names(run_id, "predictions") if name != proof.LIST)
    with tempfile.TemporaryDirectory() as folder:
        files = _fetched(run_id, "predictions", names, folder)
        return {file.stem: pd.read_parquet(file) for file in files}


def first_weights(init):
    """Find the classifier that a training begins with.

    Args:
        init: "", the path of a .keras file, or the id of a run that logged a model.

    Returns:
        Path of a .keras file, or None for "".

    Raises:
        InputError: there is none, or it is not as it was logged.
    """
    if not init:
        return None
    if Path(init).is_file():
        return Path(init)
    folder = tempfile.mkdtemp()
    try:
        [path] = _fetched(init, "model/artifacts", ["classifier.keras"], folder)
    except (mlflow.MlflowException, OSError) as error:
        raise InputError(
            f"init must be a .keras file or the id of a run with a model; "
            f"received {init}: {error}"
        ) from None
    return path


def _names(run_id, place):
    """Names of the files that a run logged in a folder."""
    items = mlflow.MlflowClient().list_artifacts(run_id, place)
    return {PurePosixPath(item.path).name for item in items}


def _fetched(run_id, place, names, folder):
    """Files that a run logged in a folder, fetched and checked by their list.

    Raises:
        InputError: one is not as it was logged.
    """
    proved = proof.LIST in _names(run_id, place)
    fetched = [
        Path(
            mlflow.artifacts.download_artifacts(
                run_id=run_id, artifact_path=f"{place}/{name}", dst_path=folder
            )
        )
        for name in [*names, *([proof.LIST] if proved else [])]
    ]
    if not proved:
        unproved(f"{place} of run {run_id}")
        return fetched
    expected = proof.opened(fetched.pop())["files"]
    for path in fetched:
        if path.stem not in expected:
            raise proof.Damaged(f"run {run_id}: {place}/{path.name} is not listed")
        proof.check(path, expected[path.stem])
    return fetched


def unproved(what):
    """Say that what an older version of gwres logged cannot be checked."""
    logger.warning(
        "%s: no %s, for an older version logged it: it is not checked", what, proof.LIST
    )


def schedule(name, tags):
    """Make a run below the present one, for another process to begin.

    Returns:
        Its id.
    """
    made = mlflow.start_run(nested=True, run_name=name, tags=tags)
    mlflow.end_run("SCHEDULED")
    return made.info.run_id


def amend(run_id, tags, status=None):
    """Set tags of any run, take away those that are None, and end it if so told."""
    client = mlflow.MlflowClient()
    before = client.get_run(run_id).data.tags
    for key, value in tags.items():
        if value is not None:
            client.set_tag(run_id, key, value)
        elif key in before:
            client.delete_tag(run_id, key)
    if status:
        client.set_terminated(run_id, status)


def environment(run_id):
    """What a process must find in its environment to begin the run of that id."""
    return {
        "MLFLOW_TRACKING_URI": mlflow.get_tracking_uri(),
        "MLFLOW_EXPERIMENT_ID": mlflow.active_run().info.experiment_id,
        "MLFLOW_RUN_ID": run_id,
    }
