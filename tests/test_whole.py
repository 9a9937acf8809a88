"""From an empty store to a submission, with a server between, in one go."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import psutil
import pytest

from gwres import client, jobs, registry, submission, tracking
from gwres.data import g2net
from gwres.errors import InputError
from gwres.recipe import Recipe
from gwres.simulate import dataset, waveforms
from gwres.simulate.population import POPULATIONS
from tests import readme

pytestmark = [
    pytest.mark.slow,
    # MLflow and pandas warn of one another when whole jobs run in this process.
    pytest.mark.filterwarnings("default"),
]
TINY = {"width": 2, "bank": 48, "judged": 120, "psd_windows": 40, "population": "loud"}
TINY |= {"samples": 512, "epochs": 1, "batch": 16}
MODEL = "gwres-ensemble@champion"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with an empty store and a small data set, where commands are run."""
    folder = tmp_path_factory.mktemp("whole")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(waveforms, "workers", lambda jobs, job: map(job, jobs))
        dataset.write(folder / "data", POPULATIONS["loud"], 4, 30, seed=5)
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        mlflow.set_tracking_uri(uri)
        yield folder
        mlflow.set_tracking_uri(None)


def started(*words, **environment):
    """A command of gwres or MLflow in a process of its own."""
    # MLflow starts uvicorn by name, which lies beside this interpreter.
    beside = str(Path(sys.executable).parent)
    environment["PATH"] = os.pathsep.join([beside, os.environ["PATH"]])
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def promoted(home):
    """Three depths trained, then promoted by two processes at the same moment."""
    for depth in (16, 18, 34):
        with tracking.run("train"):
            jobs.fit(Recipe().vary(TINY | {"depth": depth}))
    both = [started("gwres.mlproject.promote") for _ in range(2)]
    outputs = [process.communicate(timeout=300)[0] for process in both]
    for process, output in zip(both, outputs):
        assert process.returncode == 0, output
    return outputs


@pytest.fixture(scope="module")
def server(promoted):
    """`mlflow models serve` of the champion, without the checkout on its path."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = readme.command("mlflow models serve -m models:/gwres-ensemble@champion")
    words = [str(port) if word == "5001" else word for word in command[2:]]
    process = started(*words, PYTHONPATH="")
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{url}/ping", timeout=1)
                break
            except OSError:
                assert process.poll() is None, process.stdout.read()
                time.sleep(0.2)
        yield url
    finally:
        if process.poll() is None:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.send_signal(signal.SIGKILL)
            process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def windows(home):
    """The test windows, and what the champion says of them in this process."""
    ids = g2net.submission(home / "data")
    strain = [g2net.read(g2net.locate(home / "data" / "test", one)) for one in ids]
    score, _, _ = registry.load(MODEL)
    return np.stack(strain), score(np.stack(strain))


def test_two_promotions_at_once_leave_one_champion(promoted):
    store = mlflow.MlflowClient()
    names = {model.name for model in store.search_registered_models()}
    depths = {f"gwres-resnet{depth}" for depth in (16, 18, 34)}
    assert names == depths | {"gwres-ensemble"}
    for name in names:
        assert len(store.search_model_versions(f"name = '{name}'")) == 1
    [ensemble] = store.search_registered_models("name = 'gwres-ensemble'")
    assert {k: int(v) for k, v in ensemble.aliases.items()} == {"champion": 1}
    told = sorted("is champion: there is no champion" in one for one in promoted)
    assert told == [False, True]
    assert any("is the champion already" in one for one in promoted)


def test_pages_say_what_they_are_and_link_to_one_another(promoted):
    """Descriptions in the registry, notes of the promotions."""
    store = mlflow.MlflowClient()
    [member] = store.search_model_versions("name = 'gwres-resnet18'")
    [champion] = store.search_model_versions("name = 'gwres-ensemble'")
    for version in (member, champion):
        run = store.get_run(version.tags["gwres.run_id"])
        text = version.description
        area = [
            float(version.tags[f"gwres.holdout_roc_auc{end}"])
            for end in ("", "_low", "_high")
        ]
        said = "ROC-AUC {:.4f} ({:.4f} to {:.4f}) on the holdout".format(*area)
        assert text.startswith(said)
        assert f"#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}" in text
        assert "matched filter on the same windows: 0." in text
        assert store.get_registered_model(version.name).description
    assert "(#/models/gwres-resnet18/versions/1)" in champion.description
    promotion = store.get_run(champion.tags["gwres.run_id"]).data
    note = promotion.tags["mlflow.note.content"]
    trained = store.get_run(member.tags["gwres.run_id"]).data.metrics
    beside = "matched_filter/roc_auc"
    assert promotion.metrics[beside] == pytest.approx(trained[beside])
    assert note.startswith("### Promoted: there is no champion")
    assert "(#/models/gwres-ensemble/versions/1)" in note
    assert f"/runs/{member.tags['gwres.run_id']})" in note
    assert "rollback" not in note, "there is nothing to put back"


def test_served_logits_are_those_of_the_members_predictions(promoted, windows):
    """Raw strain through the joined graph is the stack of what each member logged."""
    version = registry.current()
    found = pd.read_parquet(
        mlflow.artifacts.download_artifacts(
            run_id=version.tags["gwres.run_id"],
            artifact_path="predictions/gate.parquet",
        )
    )
    opened = jobs.corpus(Recipe().vary(TINY).data)
    score, _, _ = registry.load(MODEL)
    strain = opened.judged["gate"].read(0, 120).astype(float)
    rows = found.set_index("id").loc[opened.judged["gate"].table["id"]]
    assert score(strain)["logit"].to_numpy() == pytest.approx(
        rows["logit"].to_numpy(), abs=1e-4
    )


def test_requests_as_json_and_parquet_are_answered_alike(server, windows):
    strain, offline = windows
    body = json.dumps({"inputs": strain[:3].tolist()}).encode()
    by_json = client.ask(body, "application/json", server)
    by_parquet = client.score(strain, server, batch=8)
    for answer in by_json, by_parquet:
        expected = offline[: len(answer)]
        for column in ("logit", "probability"):
            assert answer[column].tolist() == pytest.approx(
                expected[column].tolist(), abs=1e-4
            )
        assert set(answer["detectors"]) == {"H1 L1 V1"}
    missing = strain[:2].copy()
    missing[0, 2] = 0
    missing[1, [0, 2]] = 0
    assert client.score(missing, server)["detectors"].tolist() == ["H1 L1", "L1"]


def test_the_readmes_requests_are_answered(server, home):
    """From the shell and from Python, in the README's own words."""
    port = server.rpartition(":")[2]
    for typed in (readme.line("python -c "), readme.line("curl ")):
        typed = typed.replace("5001", port).replace("python ", f"{sys.executable} ")
        done = subprocess.run(typed, shell=True, cwd=home, capture_output=True)
        assert done.returncode == 0, done.stderr
    [answer] = json.loads(done.stdout)["predictions"]
    assert set(answer) == {"logit", "probability", "detectors"}
    script = home / "ask.py"
    script.write_text(readme.script().replace("5001", port))
    command = [sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "'detectors': 'H1 L1 V1'" in done.stdout
    assert "[640 rows x 3 columns]" in done.stdout


def test_bad_requests_are_refused_and_the_server_goes_on(server, windows):
    strain, offline = windows
    one = strain[:1]
    broken, endless = one.copy(), one.copy()
    broken[0, 1, 5], endless[0, 1, 5] = np.nan, np.inf

    def refused(status, message, body, kind="application/json"):
        body = (
            body if isinstance(body, bytes) else json.dumps({"inputs": body}).encode()
        )
        with pytest.raises(InputError, match=f"status {status}: .*{message}"):
            client.ask(body, kind, server)

    refused(400, "JSONDecodeError", b"{hello")
    refused(400, r"Received a list", b"[1]")
    refused(400, r"Shape of input \(1, 2, 4096\)", one[:, :2].tolist())
    refused(400, r"Shape of input \(3, 4096\)", one[0].tolist())
    refused(400, "inhomogeneous", [[[1e-21] * 4096] * 2 + [[1e-21] * 4095]])
    refused(400, "expected numbers; received the text 'a'", [[["a"] * 4096] * 3])
    refused(400, "expected numbers; received the text", one.astype(str).tolist())
    refused(400, "window 0: expected finite strain", broken.tolist())
    refused(400, "window 0: expected finite strain", endless.tolist())
    refused(400, "zeros in all detectors", (one * 0).tolist())
    refused(400, "whitened or rescaled", (one * 1e21).tolist())
    refused(400, r"data '\[\]'", [])
    refused(400, "RecursionError", b'{"inputs":' + b"[" * 100_000)
    refused(415, "received text/xml", b"<strain/>", "text/xml")
    refused(400, "Parquet", b"hello", client.PARQUET)
    refused(400, "finite strain", client.parquet(broken), client.PARQUET)
    many = client.parquet(np.repeat(one, 1025, axis=0))
    refused(413, "at most 1,024 windows in a request", many, client.PARQUET)
    short = b'{"inputs": [' + b",".join([b"[" + b"0," * 9 + b"0]"] * 1025) + b"]}"
    refused(413, "at most 1,024 windows in a request, received 1,025", short)
    more = client.parquet(np.broadcast_to(one.astype("f4"), (10_000, 3, 4096)))
    refused(413, "at most 134,217,728 bytes; received 491", more, client.PARQUET)
    answer = client.score(one, server)["logit"][0]
    assert answer == pytest.approx(offline["logit"][0], abs=1e-4)


def test_predict_writes_the_submission(home, promoted, windows):
    _, offline = windows
    ids = g2net.submission(home / "data")
    g2net.locate(home / "data" / "test", ids[7]).write_bytes(b"nothing")
    words = ["--data", "data", "--out", "submission.csv"]
    process = started("gwres.mlproject.predict", *words)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == 0, output
    assert "predict: 30 of 30 windows" in output
    assert f"{ids[7]}.npy" in output
    table = pd.read_csv(home / "submission.csv")
    assert list(table.columns) == ["id", "target"]
    assert table["id"].tolist() == ids
    expected = submission.targets(offline["logit"].to_numpy())
    expected[7] = 0.5
    assert table["target"].to_numpy() == pytest.approx(expected, abs=1e-6)
    [run] = mlflow.search_runs(
        experiment_names=["gwres"],
        filter_string="attributes.run_name = 'predict'",
        output_format="list",
    )
    assert run.info.status == "FINISHED"
    assert run.data.metrics["predict/bad_windows"] == 1
    assert "1 of 30 windows could not be read" in run.data.tags["gwres.note"]
    note = run.data.tags["mlflow.note.content"]
    assert "[gwres-ensemble, version 1](#/models/gwres-ensemble/versions/1)" in note
