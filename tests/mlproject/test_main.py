"""The main job as a user runs it: `mlflow run`, what it logs, and what it survives."""

import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gwres.tracking import tags
from gwres.training.recipe import Recipe

from .conftest import TINY, ended

METRICS = {
    "train/loss",
    "val/loss",
    "val/roc_auc",
    "holdout/roc_auc",
    "holdout/roc_auc_low",
    "holdout/roc_auc_high",
    "holdout/accuracy",
    "holdout/brier",
    "matched_filter/roc_auc",
    "evidence/roc_auc",
    "evidence/difference",
    "evidence/difference_low",
    "evidence/difference_high",
    "cost/windows_per_core_second",
    "cost/train_core_seconds",
}


def artifacts(client, run, path=""):
    for item in client.list_artifacts(run.info.run_id, path):
        if item.is_dir:
            yield from artifacts(client, run, item.path)
        else:
            yield item.path


def test_run_is_finished_with_its_metrics_parameters_and_tags(finished):
    run = finished.runs()[-1]
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "resnet16-templates"
    assert set(run.data.metrics) >= METRICS
    assert 0 <= run.data.metrics["holdout/roc_auc_low"]
    assert run.data.metrics["holdout/roc_auc_high"] <= 1
    assert run.data.params["depth"] == "16", "as typed, logged by MLflow"
    assert run.data.params["model.depth"] == "16"
    assert float(run.data.params["hp.learning_rate"]) > 0
    assert run.data.params["data.population"] == "g2net"
    assert run.data.tags["gwres.depth"] == "16"
    assert run.data.tags["gwres.frontend"] == "templates"
    assert len(run.data.tags["gwres.split_hash"]) == 16
    history = finished.client().get_metric_history(run.info.run_id, "val/roc_auc")
    assert [point.step for point in history] == [8, 16]
    inputs = finished.client().get_run(run.info.run_id).inputs.dataset_inputs
    contexts = {tag.value for one in inputs for tag in one.tags if "context" in tag.key}
    assert contexts == {"validation", "stack", "gate", "holdout"}


def test_every_name_in_mlflow_is_in_the_table(finished):
    """Of the run and of its trials, and their prefixes."""
    for run in finished.runs(parents=False):
        own = {name for name in run.data.tags if name.startswith("gwres.")}
        assert own and own <= set(tags.TAGS)
        assert all(tags.known(name) for name in run.data.metrics)
        parts = {name.partition(".")[0] for name in run.data.params if "." in name}
        assert parts <= set(tags.PREFIXES)


def test_trials_are_nested_runs_with_their_state(finished):
    parent = finished.runs()[-1]
    trials = finished.runs(parents=False)
    trials = [t for t in trials if "mlflow.parentRunId" in t.data.tags]
    assert sorted(t.info.run_name for t in trials) == ["trial-000", "trial-001"]
    for trial in trials:
        assert trial.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert trial.data.tags["gwres.state"] in ("complete", "pruned")
        assert "val/roc_auc" in trial.data.metrics


def test_artifacts_are_there(finished):
    run = finished.runs()[-1]
    found = set(artifacts(finished.client(), run))
    assert {"report.html", "predictions/holdout.parquet"} <= found
    for plot in ("roc", "sensitivity", "calibration", "history", "scores", "example"):
        assert f"plots/{plot}.png" in found
    study = {"study/trials.json", "study/history.png", "study/slices.png"}
    assert study <= found


def test_the_run_says_what_came_out(finished):
    """The note, the tags for columns, and the command that gives the same again."""
    run = finished.runs()[-1]
    named, metrics = run.data.tags, run.data.metrics
    note = named["mlflow.note.content"]
    area = [metrics[f"holdout/roc_auc{end}"] for end in ("", "_low", "_high")]
    said = "{:.4f} ({:.4f} to {:.4f})".format(*area)
    assert said in note and named["gwres.roc_auc"] == said
    assert f"{metrics['matched_filter/roc_auc']:.4f}" in note
    less = [metrics[f"evidence/difference{end}"] for end in ("", "_low", "_high")]
    added = "The network adds {:+.4f} ({:+.4f} to {:+.4f}), p = ".format(*less)
    assert note.count(added) == 1 and f"{metrics['evidence/roc_auc']:.4f} (" in note
    assert "| Network SNR" in note and "**Study**" in note
    assert f"/runs/{run.info.run_id}/artifacts/report.html" in note
    assert named["gwres.entry"] == "main"
    command = named["gwres.command"]
    assert command in note
    best = {k.rpartition(".")[2]: v for k, v in run.data.params.items()}
    usual = Recipe().flat()
    for setting in ("fit.learning_rate", "fit.weight_decay", "fit.warmup"):
        name = setting.rpartition(".")[2]
        said = f"{name}={best[name]}" in command
        assert said == (float(best[name]) != usual[setting])
    trials = finished.runs(parents=False)
    trials = [t for t in trials if "mlflow.parentRunId" in t.data.tags]
    for trial in trials:
        line = trial.data.tags["mlflow.note.content"]
        assert trial.data.tags["gwres.state"] in line and "learning_rate" in line


def test_the_last_lines_are_those_that_matter(finished):
    run = finished.runs()[-1]
    said = [line for line in finished.output.splitlines() if " INFO mlflow" not in line]
    start = said.index(f"run {run.info.run_id} is finished")
    area, report, look, promote = said[start + 1 : start + 5]
    assert area.startswith(f"ROC-AUC  {run.data.metrics['holdout/roc_auc']:.4f} (")
    assert f"matched filter {run.data.metrics['matched_filter/roc_auc']:.4f}" in area
    path = Path(report.removeprefix("report   "))
    assert "<html" in path.read_text()
    assert look.startswith("look     mlflow server ")
    assert f"/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}" in look
    assert promote == "promote  mlflow run . -e promote --env-manager local"


def test_model_answers_alike_in_a_fresh_process_without_the_checkout(
    finished, tmp_path
):
    """The logged model, loaded where gwres cannot be imported from the project."""
    run = finished.runs()[-1]
    [model] = finished.client().search_logged_models(
        [run.info.experiment_id], f"source_run_id = '{run.info.run_id}'"
    )
    download = tmp_path / "holdout"
    path = finished.client().download_artifacts(
        run.info.run_id, "predictions/holdout.parquet", _made(download)
    )
    table = pd.read_parquet(path)
    script = f"""
import sys
sys.path = [p for p in sys.path if p not in ("", {str(finished.folder)!r})]
import mlflow, numpy as np
mlflow.set_tracking_uri({finished.store!r})
model = mlflow.pyfunc.load_model("models:/{model.model_id}")
example = model.input_example
assert example.shape == (1, 3, 4096), example.shape
answer = model.predict(example)
print(list(answer.columns), float(answer["logit"].iloc[0]),
      float(answer["probability"].iloc[0]))
try:
    model.predict(example * np.nan)
except Exception as error:
    print("refused", "finite" in str(error))
"""
    environment = {**finished.environment, "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    words = lines[-2].replace("[", "").replace("]", "").replace(",", "").split()
    assert words[:3] == ["'logit'", "'probability'", "'detectors'"]
    logit, probability = map(float, words[3:])
    # The example is the first validation window.
    validation = finished.client().download_artifacts(
        run.info.run_id, "predictions/validation.parquet", _made(tmp_path / "v")
    )
    first = pd.read_parquet(validation)["logit"].iloc[0]
    assert logit == pytest.approx(first, abs=1e-5)
    assert probability == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-9)
    assert lines[-1] == "refused True"
    assert list(table.columns[:4]) == ["id", "split", "label", "network_snr"]


def _made(path):
    path.mkdir()
    return str(path)


def test_two_entry_points_at_once_on_a_fresh_store(project):
    """Neither is in the other's way; of two `mlflow run`, see docs/train.md."""
    few = TINY | {"trials": "0", "frontend": "waveform", "epochs": "1"}
    both = [project.module(few) for _ in range(2)]
    outputs = [ended(process) for process in both]
    for process, output in zip(both, outputs):
        assert process.returncode == 0, output
    assert [run.info.status for run in project.runs()] == ["FINISHED", "FINISHED"]


def test_first_weights_come_from_a_run(finished):
    first = finished.runs()[-1].info.run_id
    settings = {k: v for k, v in TINY.items() if k != "trials"}
    settings |= {"init": first, "learning_rate": "1e-8", "epochs": "1"}
    finished.typed(
        "mlflow run . -e train -P depth=18 -P learning_rate=0.004", **settings
    )
    again, before = finished.runs()[0], finished.runs()[-1]
    assert again.data.params["hp.init"] == first
    # A rate of 1e-8 leaves the weights, and so the answers, as they were.
    for name in ("holdout/roc_auc", "holdout/brier"):
        assert again.data.metrics[name] == pytest.approx(before.data.metrics[name])


def test_workers_share_a_training(finished):
    """The command that trains the same again gives the same, with workers too."""
    before = finished.runs()[-1]
    again = shlex.split(before.data.tags["gwres.command"])
    chosen = dict(word.split("=", 1) for word in again if "=" in word)
    output = finished.typed(
        "mlflow run . --env-manager local -e train -P depth=34 -P workers=2", **chosen
    )
    assert "2 workers share each batch" in output
    shared = finished.runs()[0]
    for name in ("train/loss", "val/loss", "holdout/brier"):
        expected = pytest.approx(before.data.metrics[name], rel=2e-3)
        assert shared.data.metrics[name] == expected


def test_the_kaggle_route(finished):
    """Files in the competition's layout, from first weights to a submission."""
    simulated, data = finished.runs()[-1].info.run_id, finished.folder / "g2net"
    finished.typed(
        "mlflow run . -e simulate -P out=/data/simulated -P train=20000",
        **{"out": data, "train": 400, "test": 6},
    )
    note = finished.runs()[0].data.tags["mlflow.note.content"]
    assert "406 windows simulated" in note and f"data={data}'" in note
    few = {k: v for k, v in TINY.items() if k not in ("bank", "judged")}
    few |= {"trials": "0", "data": data}
    finished.typed(
        "mlflow run . --env-manager local --experiment-name kaggle -P depth=34 "
        "-P data=/data/g2net",
        **few,
    )
    packed = finished.folder / "packed"
    finished.typed(
        "mlflow run . --env-manager local -e pack",
        **{"data": data, "out": packed, "psd_windows": few["psd_windows"]},
    )
    note = finished.runs()[0].data.tags["mlflow.note.content"]
    assert "400 windows packed" in note and f"data={packed}'" in note
    finished.typed(
        "mlflow run . --env-manager local --experiment-name kaggle -P depth=34 "
        "-P data=/data/g2net -P init=<run id>",
        **few | {"init": simulated, "data": packed},
    )
    second, _, first = finished.runs()[:3]
    for run, source in ((first, data), (second, packed)):
        assert run.data.params["data.source"] == str(source)
        assert run.data.metrics["matched_filter/roc_auc"] > 0.4
        assert run.data.metrics["evidence/roc_auc"] > 0.4
    assert second.data.params["hp.init"] == simulated
    assert second.data.tags["gwres.split_hash"] == first.data.tags["gwres.split_hash"]
    finished.typed(
        "mlflow run . --env-manager local --experiment-name kaggle -e promote"
    )
    promoted = finished.runs()[0]
    assert promoted.data.tags["gwres.decision"] == "promoted"
    assert promoted.info.experiment_id == first.info.experiment_id
    finished.typed(
        "mlflow run . --env-manager local --experiment-name kaggle -e predict",
        data=data,
    )
    table = pd.read_csv(finished.folder / "submission.csv")
    expected = pd.read_csv(data / "sample_submission.csv")
    assert table["id"].tolist() == expected["id"].tolist() and len(table) == 6
    assert table["target"].between(0, 1).all() and (table["target"] != 0.5).all()
    finished.typed(
        "mlflow run . -e evaluate -P model=gwres-resnet34-templates,matched-filter",
        **{"model": "gwres-resnet16-templates,matched-filter", "data": data},
    )
    names = ["models:/gwres-resnet16-templates/1", "matched-filter"]
    assert f"difference/{names[0]} less {names[1]}" in finished.runs()[0].data.metrics
