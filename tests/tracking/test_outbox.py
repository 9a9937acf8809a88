"""What a run says goes to a server in order and once, whatever becomes of it."""

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import numpy as np
import pytest

from gwres.models.classifier import classifier, network
from gwres.models.resnet import ResNet
from gwres.simulate.noise import noise
from gwres.tracking import messages, outbox, ui
from gwres.tracking.tags import NAME, PARENT


class Server:
    """Takes messages; away, or fails after it has taken one, if it is told to."""

    def __init__(self):
        self.taken, self.away, self.mute = [], False, 0

    def __call__(self, message, files, ids, again):
        if self.away:
            raise mlflow.MlflowException("connection refused")
        held = sorted(path.name for path in files.iterdir()) if files else []
        self.taken.append((message["kind"], held, again))
        if message["kind"] == "trial":
            ids[message["run"]] = "made"
        if self.mute:
            self.mute -= 1
            raise mlflow.MlflowException("the answer is lost")


@pytest.fixture
def server(monkeypatch):
    made = Server()
    monkeypatch.setattr(messages, "deliver", made)
    monkeypatch.setattr(ui, "command", lambda entry: f"mlflow run . -e {entry}")
    monkeypatch.setattr(outbox, "RETRY", 0.02)
    monkeypatch.setattr(outbox, "PATIENCE", 0.1)
    return made


def say(box, *kinds, files=None):
    for kind in kinds:
        box.put({"kind": kind, "run": "me", "content": {}}, files)


def until(happened):
    end = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_everything_is_sent_in_order_and_nothing_is_left(server, tmp_path):
    box = outbox.Outbox(tmp_path / "box")
    kinds = [f"kind {number}" for number in range(30)]
    say(box, *kinds)
    box.close()
    assert server.taken == [(kind, [], False) for kind in kinds]
    assert not (tmp_path / "box").exists()


def test_files_are_those_of_the_moment(server, tmp_path):
    server.away = True
    box, given = outbox.Outbox(tmp_path / "box"), tmp_path / "given"
    given.mkdir()
    (given / "a").write_text("1")
    say(box, "folder", files=given)
    say(box, "file", files=given / "a")
    (given / "a").unlink()
    (given / "b").write_text("2")
    server.away = False
    box.close()
    assert [held for _, held, _ in server.taken] == [["a"], ["a"]]


def test_who_speaks_does_not_wait_for_a_server_that_is_away(server, tmp_path, caplog):
    server.away = True
    box = outbox.Outbox(tmp_path / "box")
    with caplog.at_level(logging.WARNING, "gwres"):
        begun = time.monotonic()
        say(box, "a", "b", "b")
        assert time.monotonic() - begun < 1
        until(lambda: caplog.records)
        assert box.what() == "a (1), b (2)"
        server.away = False
        until(lambda: len(server.taken) == 3)
        box.close()
    assert [kind for kind, _, _ in server.taken] == ["a", "b", "b"]
    told = [one.getMessage() for one in caplog.records]
    assert len(told) == 2, "once when it goes, once when it comes"
    assert "connection refused" in told[0] and "again" in told[1]


def test_what_may_be_there_already_is_said_to_be(server, tmp_path):
    server.mute = 1
    box = outbox.Outbox(tmp_path / "box", sending=False)
    say(box, "a", "b")
    box.close()
    assert server.taken == [("a", [], False), ("a", [], True), ("b", [], False)]


def test_what_is_left_is_kept_named_and_sent_by_another(server, tmp_path):
    box = outbox.Outbox(tmp_path / "box")
    say(box, "trial")
    until(lambda: server.taken)
    server.away = True
    say(box, "epoch", "epoch", "model", files=Path(__file__).parent)
    with pytest.raises(outbox.Unsent) as left:
        box.close()
    told = str(left.value)
    assert "not logged: epoch (2), model (1) of run box" in told
    assert "connection refused" in told and str(tmp_path / "box") in told
    assert told.endswith("mlflow run . -e upload")
    server.away, server.taken = False, []
    later = outbox.Outbox(tmp_path / "box", sending=False)
    say(later, "end")
    later.close()
    assert [kind for kind, _, _ in server.taken] == ["epoch", "epoch", "model", "end"]
    assert later._ids == {"me": "made"}


KILLED = """
import os, sys, time
from gwres.tracking import messages, outbox
def away(*_):
    raise OSError("away")
messages.deliver = away
box = outbox.Outbox(sys.argv[1])
for number in range(3):
    box.put({"kind": str(number), "run": "me", "content": {}})
os._exit(9)
"""


def test_what_a_killed_process_said_is_sent(server, tmp_path):
    words = [sys.executable, "-c", KILLED, str(tmp_path / "box")]
    done = subprocess.run(words, env=os.environ | {"PYTHONWARNINGS": "ignore"})
    assert done.returncode == 9
    # Of a message that it was about to write when it died.
    (tmp_path / "box" / ".000004-x").mkdir()
    outbox.Outbox(tmp_path / "box", sending=False).close()
    assert [kind for kind, _, _ in server.taken] == ["0", "1", "2"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_defect_is_told_as_one(server, tmp_path, monkeypatch):
    def wrong(*_):
        raise TypeError("a defect")

    monkeypatch.setattr(messages, "deliver", wrong)
    box = outbox.Outbox(tmp_path / "box")
    say(box, "a")
    with pytest.raises(TypeError, match="a defect"):
        box.close()


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of experiment 1, in a store of this machine; experiment 0 is open."""
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    store = mlflow.MlflowClient()
    yield store.create_run(store.create_experiment("other"))
    mlflow.set_tracking_uri(None)


def test_what_is_said_twice_is_there_once(run, tmp_path):
    """Every kind, its answer lost the first time."""
    (tmp_path / "files").mkdir()
    small = classifier(network(ResNet(16, 2), "spectrogram"), np.ones((3, 2049)))
    small.save(tmp_path / "files" / "classifier.keras")
    np.save(tmp_path / "files" / "example.npy", noise(np.random.default_rng(0), 1))
    run_id, data = run.info.run_id, {"source_type": "code", "source": "{}"}
    numbers = {"val/loss": 0.5, "val/roc_auc": 0.75}
    contents = {
        "trial": {
            "experiment": "1",
            "tags": {PARENT: run_id, NAME: "trial-000"},
            "at": 1,
        },
        "tags": {"tags": {"gwres.note": "a"}},
        "params": {"params": {"hp.rate": "0.1"}},
        "epoch": {"metrics": numbers, "at": 1, "step": 10},
        "metrics": {"metrics": {"holdout/roc_auc": 0.8}, "at": 2},
        "data": {"data": data | {"name": "x", "digest": "y"}, "tags": {"a": "b"}},
        "files": {},
        "table": {"path": "study/trials.json", "columns": {"number": [0, 1]}},
        "model": {"experiment": "1"},
        "end": {"status": "FINISHED", "at": 3},
    }
    assert contents.keys() == messages.KINDS.keys()
    ids, given = {}, []
    for kind, content in contents.items():
        name = "trial-000" if kind == "trial" else run_id
        message = {"kind": kind, "run": name, "content": content}
        for again in (False, True):
            files = tmp_path / "files" if kind in ("files", "model") else None
            given.append(messages.deliver(message, files, ids, again))
    store = mlflow.MlflowClient()
    [trial] = store.search_runs(["1"], f"tags.`{PARENT}` = '{run_id}'")
    assert ids == {"trial-000": trial.info.run_id}
    after = store.get_run(run_id)
    assert after.info.status == "FINISHED" and after.info.end_time == 3
    assert after.data.tags["gwres.note"] == "a"
    assert after.data.params == {"hp.rate": "0.1"}
    for name in (*numbers, "holdout/roc_auc"):
        assert len(store.get_metric_history(run_id, name)) == 1
    assert len(after.inputs.dataset_inputs) == 1
    assert store.load_table("1", "study/trials.json", [run_id])["number"].tolist() == [
        0,
        1,
    ]
    [model] = store.search_logged_models(["1"])
    assert given.count(model.model_id) == 2
    assert {one.path for one in store.list_artifacts(run_id)} == {
        "classifier.keras",
        "example.npy",
        "study",
    }
    assert len(after.outputs.model_outputs) == 1


@pytest.mark.parametrize("fails", ["log_outputs", "log_model_artifacts"])
def test_a_model_that_came_half_is_completed(run, tmp_path, monkeypatch, fails):
    (tmp_path / "files").mkdir()
    small = classifier(network(ResNet(16, 2), "spectrogram"), np.ones((3, 2049)))
    small.save(tmp_path / "files" / "classifier.keras")
    np.save(tmp_path / "files" / "example.npy", noise(np.random.default_rng(0), 1))
    message = {"kind": "model", "run": run.info.run_id, "content": {"experiment": "1"}}
    store = mlflow.MlflowClient()
    store.log_metric(run.info.run_id, "holdout/roc_auc", 0.9)
    store.log_metric(run.info.run_id, "val/loss", 0.5, step=3)

    def away(*_, **__):
        raise mlflow.MlflowException("away")

    with monkeypatch.context() as patch:
        patch.setattr(mlflow.MlflowClient, fails, away)
        with pytest.raises(mlflow.MlflowException):
            messages.deliver(message, tmp_path / "files", {}, False)
    [half] = store.search_logged_models(["1"])
    assert half.status == "FAILED" and half.experiment_id == "1"
    whole = messages.deliver(message, tmp_path / "files", {}, True)
    [model] = store.search_logged_models(["1"])
    assert model.model_id == whole == half.model_id and model.status == "READY"
    [named] = store.get_run(run.info.run_id).outputs.model_outputs
    assert named.model_id == whole
    assert [(one.key, one.value) for one in model.metrics] == [("holdout/roc_auc", 0.9)]
    assert len(store.get_metric_history(run.info.run_id, "holdout/roc_auc")) == 1
    strain = np.load(tmp_path / "files" / "example.npy")
    answer = mlflow.pyfunc.load_model(f"models:/{whole}").predict(strain)
    assert np.isfinite(answer["logit"]).all()


def test_an_upload_leaves_alone_what_is_not_its_own(
    server, run, tmp_path, monkeypatch, caplog
):
    """One run that the store has, one that it has not, one that is at work."""
    monkeypatch.setattr(outbox, "root", lambda: tmp_path / "outbox")
    boxes = {}
    for name in (run.info.run_id, "0" * 32, "1" * 32):
        boxes[name] = outbox.Outbox(tmp_path / "outbox" / name, sending=False)
        say(boxes[name], "epoch")
        if name != "1" * 32:
            boxes[name].free()
    with caplog.at_level(logging.INFO, "gwres"), mlflow.start_run(experiment_id="0"):
        outbox.upload()
    assert server.taken == [("epoch", [], False)]
    told = caplog.text
    assert f"sent     epoch (1) of run {run.info.run_id}" in told
    assert f"left     epoch (1) of run {'0' * 32}" in told
    assert f"run {'1' * 32} is still at work" in told
    left = sorted(path.name for path in (tmp_path / "outbox").iterdir())
    assert left == ["0" * 32, "1" * 32]
    boxes["1" * 32].free()
