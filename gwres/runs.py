"""Runs in MLflow: finished trainings and what they logged, members of experiments."""

import tempfile
from dataclasses import dataclass, fields, replace
from pathlib import Path

import mlflow
import pandas as pd

from gwres.data.corpus import SIMULATED, Data
from gwres.errors import InputError
from gwres.recipe import parse


@dataclass(frozen=True)
class Member:
    """A finished training run that may become part of an ensemble.

    Args:
        run: mlflow's Run.
        score: the metric's best epoch on validation.
        model_id: of the logged model.
        version: of the registered model; None as long as there is none.
    """

    run: object
    score: float
    model_id: str | None = None
    version: str | None = None

    @property
    def id(self):
        """The run's id."""
        return self.run.info.run_id

    @property
    def kind(self):
        """What is compared with its like: resnet34-waveform."""
        tags = self.run.data.tags
        return f"resnet{tags['gwres.depth']}-{tags['gwres.frontend']}"

    @property
    def name(self):
        """The registered model's name."""
        return f"gwres-resnet{self.run.data.tags['gwres.depth']}"

    @property
    def split_hash(self):
        """Who was where; see `split.split_hash`."""
        return self.run.data.tags["gwres.split_hash"]

    @property
    def hashed(self):
        """Whether the ids are those of files, whose split is a function of the id."""
        return self.run.data.params.get("data.source") != SIMULATED

    @property
    def data(self):
        """The `Data` that it was trained and judged on."""
        logged = self.run.data.params
        kinds = {one.name: one.type for one in fields(Data)}
        return Data(**{n: parse(n, k, logged[f"data.{n}"]) for n, k in kinds.items()})


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
            f"metric must be one of validation, such as val/roc_auc; received {metric}"
        )
    client = mlflow.MlflowClient()
    experiments = {e.experiment_id: e.name for e in client.search_experiments()}
    if experiment == "own":
        chosen = mlflow.active_run().info.experiment_id
    else:
        chosen = next((i for i, name in experiments.items() if name == experiment), "")
    runs = _runs(client, chosen) if chosen else []
    scored = [Member(run, _best(client, run, metric)) for run in runs]
    members = [one for one in scored if one.score is not None]
    if not members:
        counts = {n: len(_runs(client, i)) for i, n in experiments.items()}
        held = ", ".join(f"{n} ({c})" for n, c in counts.items() if c) or "none"
        raise InputError(
            f"experiment {experiments.get(chosen, experiment)} holds no finished "
            f"training run with {metric}; experiments that hold finished runs: {held}"
        )
    return members


def _runs(client, experiment):
    """Finished runs that trained a network and are not a trial of a study."""
    found, token = [], None
    while True:
        page = client.search_runs(
            [experiment], "attributes.status = 'FINISHED'", page_token=token
        )
        found += page
        token = page.token
        if not token:
            break
    needed = {"gwres.depth", "gwres.frontend", "gwres.split_hash"}
    return [
        run
        for run in found
        if needed <= set(run.data.tags) and "gwres.state" not in run.data.tags
    ]


def _best(client, run, metric):
    if metric not in run.data.metrics:
        return None
    history = client.get_metric_history(run.info.run_id, metric)
    # Of a loss the least, as minus itself.
    sign = -1 if "loss" in metric else 1
    return max(sign * point.value for point in history)


def predictions(run_id, split):
    """The predictions table that a run logged for a split.

    Raises:
        InputError: there is none.
    """
    path = f"predictions/{split}.parquet"
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = mlflow.artifacts.download_artifacts(
                run_id=run_id, artifact_path=path, dst_path=folder
            )
            return pd.read_parquet(found)
        except (mlflow.MlflowException, OSError) as error:
            raise InputError(
                f"run {run_id}: expected {path}, the predictions of the split {split}; "
                f"there is none: {error}"
            ) from None


def with_model(member):
    """The member with the id of its logged model.

    Raises:
        InputError: the run has none, or its files are gone.
    """
    found = mlflow.MlflowClient().search_logged_models(
        [member.run.info.experiment_id], f"source_run_id = '{member.id}'"
    )
    if not found:
        raise InputError(f"run {member.id} ({member.kind}) has no logged model")
    model = max(found, key=lambda one: one.creation_timestamp)
    there(f"models:/{model.model_id}", f"the model of run {member.id}")
    return replace(member, model_id=model.model_id)


def there(uri, what):
    """Raise `InputError` unless a model's files are there."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            mlflow.artifacts.download_artifacts(uri, dst_path=folder)
        except (mlflow.MlflowException, OSError) as error:
            raise InputError(f"{what} ({uri}): its files are gone: {error}") from None
        found = {path.suffix or path.name for path in Path(folder).rglob("*")}
    if not {"MLmodel", ".keras"} <= found:
        raise InputError(f"{what} ({uri}): its files are gone")


def tagged(tags):
    """Runs of the present run's experiment that have all of the tags, latest first.

    Returns:
        list of mlflow.entities.Run.
    """
    where = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    here = [mlflow.active_run().info.experiment_id]
    latest = ["attributes.start_time DESC"]
    return list(mlflow.MlflowClient().search_runs(here, where, order_by=latest))


def present():
    """The id of the present run."""
    return mlflow.active_run().info.run_id


def found(run_id):
    """The mlflow.entities.Run of that id, as it is now."""
    return mlflow.get_run(run_id)


def nested(name, tags):
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


def tables(run_id):
    """A run's predictions: dict of split to DataFrame."""
    with tempfile.TemporaryDirectory() as folder:
        path = mlflow.artifacts.download_artifacts(
            run_id=run_id, artifact_path="predictions", dst_path=folder
        )
        files = sorted(Path(path).glob("*.parquet"))
        return {file.stem: pd.read_parquet(file) for file in files}
