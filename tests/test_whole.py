"""From an empty store to a submission, with a server between, in one go."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import psutil
import pytest

from gwres.data import g2net
from gwres.data.corpus import open_corpus
from gwres.errors import InputError
from gwres.jobs.predict import targets
from gwres.jobs.train import train
from gwres.serve import client, registered
from gwres.simulate import dataset
from gwres.simulate.population import POPULATIONS
from gwres.tracking import log, registry
from gwres.training.recipe import Recipe
from tests import readme

pytestmark = [
    pytest.mark.slow,
    # MLflow and pandas warn of one another when whole jobs run in this process.
    pytest.mark.filterwarnings("default"),
]
TINY = {
    "width": 2,
    "bank": 48,
    "judged": 120,
    "psd_windows": 40,
    "population": "volumetric",
}
TINY |= {"samples": 512, "epochs": 1, "batch": 16}
MODEL = "gwres-ensemble@champion"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with an empty store and a small data set, where commands are run."""
    folder = tmp_path_factory.mktemp("whole")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "each", lambda job, jobs, _: map(job, jobs))
        dataset.write(folder / "data", POPULATIONS["volumetric"], 4, 30, seed=5)
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
        with log.run("train"):
            train(Recipe().vary(TINY | {"depth": depth}))
    both = [started("gwres.mlproject.promote") for _ in range(2)]
    outputs = [process.communicate(timeout=300)[0] for process in both]
    for process, output in zip(both, outputs):
        assert process.returncode == 0, output
    return outputs


@contextmanager
def answering(words, **environment):
    """A server started by a command of the pages, on a free port; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [word.replace("5001", str(port)) for word in words[2:]]
    words = [str(readme.ROOT) if word == "." else word for word in words]
    process = started(*words, **environment)
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
def mlflows(promoted):
    """`mlflow models serve` of the champion, without the checkout on its path."""
    words = readme.command("mlflow models serve -m models:/gwres-ensemble@champion")
    with answering(words, PYTHONPATH="") as url:
        yield url


@pytest.fixture(scope="module")
def own(promoted):
    """gwres's own server of the champion."""
    words = readme.command("mlflow run . --env-manager local -e serve", port="5001")
    with answering(words) as url:
        yield url


@pytest.fixture(params=["mlflows", "own"])
def server(request):
    """Either server: what they are asked, and what they answer, is the same."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def windows(home):
    """The test windows, and what the champion says of them in this process."""
    ids = g2net.submission(home / "data")
    strain = [g2net.read(g2net.locate(home / "data" / "test", one)) for one in ids]
    score = registered.load(registry.pin(MODEL))
    return np.stack(strain), score(np.stack(strain))


def test_two_promotions_at_once_leave_one_champion(promoted):
    store = mlflow.MlflowClient()
    names = {model.name for model in store.search_registered_models()}
    depths = {f"gwres-resnet{depth}-templates" for depth in (16, 18, 34)}
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
    [member] = store.search_model_versions("name = 'gwres-resnet18-templates'")
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
    assert "(#/models/gwres-resnet18-templates/versions/1)" in champion.description
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
    opened = open_corpus(Recipe().vary(TINY).data)
    score = registered.load(registry.pin(MODEL))
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
    for typed in (readme.line("python -c "), readme.line("curl -d @window.json")):
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
    assert "H1 L1 V1" in done.stdout
    assert "[640 rows x 3 columns]" in done.stdout


def test_bad_requests_are_refused_and_the_server_goes_on(server, windows):
    """What both servers refuse; tests/serve/test_app.py has what only ours does."""
    strain, offline = windows
    one = strain[:1]
    broken, endless = one.copy(), one.copy()
    broken[0, 1, 5], endless[0, 1, 5] = np.nan, np.inf

    def refused(message, body, kind="application/json"):
        body = (
            body if isinstance(body, bytes) else json.dumps({"inputs": body}).encode()
        )
        with pytest.raises(InputError, match=f"status 400: .*{message}"):
            client.ask(body, kind, server)

    refused(r"\(1, 2, 4096\)", one[:, :2].tolist())
    refused(r"\(3, 4096\)", one[0].tolist())
    refused("", [[[1e-21] * 4096] * 2 + [[1e-21] * 4095]])
    refused("", b"{hello")
    refused("finite", broken.tolist())
    refused("finite", endless.tolist())
    refused("zeros in all detectors", (one * 0).tolist())
    refused("whitened or rescaled", (one * 1e21).tolist())
    refused("finite strain", client.parquet(broken), client.PARQUET)
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
    expected = targets(offline["logit"].to_numpy())
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
