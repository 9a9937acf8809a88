"""Finished training runs in MLflow, and what they logged."""

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
