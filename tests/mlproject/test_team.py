"""A team's tracking server, started by the commands of docs/team.md, and killed."""

import json
import logging
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from itertools import pairwise
from pathlib import Path

import mlflow
import numpy as np
import pytest
import requests
import yaml

from gwres.mlproject import entry, main, promote
from gwres.serve import client, registered
from gwres.serve.app import application
from gwres.simulate.noise import noise
from gwres.tracking import outbox, registry, tags
from tests import postgres, readme
from tests.serve.listening import listening

from .conftest import TINY, Project, ended, words

logger = logging.getLogger(__name__)
DEPLOY = readme.ROOT / "deploy"
PASSWORDS = {name: f"{name}-and-twelve-more" for name in ("admin", "alice", "bob")}
SOCKETS = "/var/run/postgresql"
# Alice's training; Bob's is longer, and outlives hers.
SMALL = TINY | {"frontend": "waveform", "trials": "0", "patience": "99"}
ALICE = SMALL | {"samples": "640", "epochs": "4"}
BOB = SMALL | {"depth": "18", "samples": "3200", "epochs": "16"}

# His run, which waits longer at its end, for a machine on which servers start slowly.
PATIENT = """
import sys
from gwres.mlproject import entry, main
from gwres.tracking import outbox
outbox.PATIENCE = 300.0
entry.run("main", main.main, sys.argv[1:])
"""

needed = pytest.mark.skipif(
    not postgres.INSTALLED or not shutil.which("curl"),
    reason="needs PostgreSQL and curl",
)


class Server:
    """The tracking server, as often as it is started; on one port of this machine."""

    def __init__(self, folder, sockets):
        self.folder, self.sockets = folder, sockets
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = str(free.getsockname()[1])
        self.address = f"http://127.0.0.1:{self.port}"

    def start(self):
        command = readme.command("mlflow --env-file team.env server")
        command = [word.replace(SOCKETS, self.sockets) for word in command]
        # MLflow starts uvicorn by name, which lies beside this interpreter.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        with (self.folder / "log").open("a") as out:
            self.process = subprocess.Popen(
                [*command, "--port", self.port, "--workers", "1"],
                cwd=self.folder,
                env=os.environ | {"PATH": path},
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        end = time.monotonic() + 120
        while time.monotonic() < end and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.address}/health", timeout=2).close()
                return
            except OSError:
                time.sleep(0.2)
        raise TimeoutError((self.folder / "log").read_text())

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def add(self, user):
        told = {"username": user, "password": PASSWORDS[user]}
        (self.folder / "user.json").write_text(json.dumps(told))
        typed = readme.line("curl --fail --user admin")
        typed = typed.replace("http://127.0.0.1:5000", self.address)
        typed = typed.replace("--user admin", f"--user admin:{PASSWORDS['admin']}")
        subprocess.run(shlex.split(typed), check=True, cwd=self.folder)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with postgres.server() as (sockets, run):
        made = (
            readme.line("runuser -u postgres -- createuser"),
            readme.line("runuser -u postgres -- createdb"),
        )
        for typed in made:
            run(*shlex.split(typed)[4:])
        settings = (DEPLOY / "auth.ini").read_text().replace(SOCKETS, str(sockets))
        (folder / "auth.ini").write_text(settings)
        (folder / "team.env").write_text(
            "MLFLOW_AUTH_CONFIG_PATH=auth.ini\n"
            f"MLFLOW_AUTH_ADMIN_PASSWORD={PASSWORDS['admin']}\n"
            "MLFLOW_FLASK_SERVER_SECRET_KEY=any text\n"
        )
        started = Server(folder, str(sockets))
        started.start()
        try:
            started.add("alice")
            started.add("bob")
            yield started
        finally:
            started.kill()


@pytest.fixture(scope="module")
def users(server, tmp_path_factory):
    """A folder each, with the project in it: Alice's password is in the environment."""
    alice, bob = (
        Project(tmp_path_factory.mktemp(one) / "gwres")
        for one in PASSWORDS
        if one != "admin"
    )
    for one in (alice, bob):
        one.environment["MLFLOW_TRACKING_URI"] = server.address
    alice.environment |= environment("alice")
    home = bob.folder / "home"
    (home / ".mlflow").mkdir(parents=True)
    (home / ".mlflow" / "credentials").write_text(
        "[mlflow]\nmlflow_tracking_username = bob\n"
        f"mlflow_tracking_password = {PASSWORDS['bob']}\n"
    )
    bob.environment["HOME"] = str(home)
    return alice, bob


def environment(user):
    return {
        "MLFLOW_TRACKING_USERNAME": user,
        "MLFLOW_TRACKING_PASSWORD": PASSWORDS[user],
    }


@pytest.fixture(scope="module")
def trained(users):
    """Both trained at the same time, undisturbed: what was said."""
    line = "mlflow run . --env-manager local -P depth=50"
    both = [
        user.start(readme.command(line, **settings))
        for user, settings in zip(users, (ALICE, BOB))
    ]
    outputs = [ended(process) for process in both]
    for process, output in zip(both, outputs):
        assert process.returncode == 0, output
    return outputs


@pytest.fixture
def as_alice(server, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    for name, value in environment("alice").items():
        monkeypatch.setenv(name, value)
    return mlflow.MlflowClient(server.address)


def found(store, depth):
    """Runs that trained a network, the latest first."""
    experiments = [one.experiment_id for one in store.search_experiments()]
    where = f"tags.`gwres.depth` = '{depth}'"
    return store.search_runs(experiments, where, order_by=["start_time DESC"])


@needed
def test_both_runs_are_on_the_server_and_nothing_is_beside(
    trained, users, server, as_alice
):
    for user, depth in zip(users, ("16", "18")):
        [run] = found(as_alice, depth)
        assert run.info.status == "FINISHED"
        assert run.info.artifact_uri.startswith("mlflow-artifacts:")
        kept = server.folder / "artifacts" / run.info.experiment_id / run.info.run_id
        assert (kept / "artifacts" / "report.html").is_file()
        assert not {"mlflow.db", "mlruns"} & {one.name for one in user.folder.iterdir()}
        said = trained[("16", "18").index(depth)]
        assert f"mlflow artifacts download -r {run.info.run_id} -a report.html" in said
        assert (
            f"look     {server.address}/#/experiments/0/runs/{run.info.run_id}" in said
        )


@needed
def test_no_password_is_told_anywhere(trained, server, as_alice):
    told = [*trained, (server.folder / "log").read_text()]
    for depth in ("16", "18"):
        told += [str(run.to_dictionary()) for run in found(as_alice, depth)]
    for password in PASSWORDS.values():
        assert not any(password in text for text in told)


@needed
def test_without_the_password_nothing_is_answered(
    server, as_alice, monkeypatch, caplog
):
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD")
    for place in (
        "mlflow/experiments/search?max_results=1",
        "mlflow-artifacts/artifacts",
    ):
        answer = requests.get(f"{server.address}/api/2.0/{place}", timeout=10)
        assert answer.status_code == 401
    with pytest.raises(SystemExit) as end:
        entry.run("main", main.main, words(ALICE))
    assert end.value.code == 2
    assert "the user be one of its own" in caplog.text and "401" in caplog.text


def test_a_password_in_the_servers_url_is_refused_and_not_told(monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://alice:secret@127.0.0.1:1")
    with pytest.raises(SystemExit) as end:
        entry.run("main", main.main, [])
    assert end.value.code == 2
    assert "must hold no password" in caplog.text and "secret" not in caplog.text


@needed
def test_bob_promotes_what_both_trained_and_it_is_served(
    trained, as_alice, monkeypatch
):
    for name, value in environment("bob").items():
        monkeypatch.setenv(name, value)
    entry.run("promote", promote.main, words({"experiment": "Default"}))
    names = {one.name for one in as_alice.search_registered_models()}
    depths = {f"gwres-resnet{depth}-waveform" for depth in (16, 18)}
    assert names == depths | {registry.ENSEMBLE}
    uri = registry.pin(f"{registry.ENSEMBLE}@{registry.CHAMPION}")
    score = registered.load(uri)
    strain = noise(np.random.default_rng(0), 3)
    with listening(application(score, uri, 60.0)) as (host, port):
        answers = client.score(strain, f"http://{host}:{port}")
    np.testing.assert_allclose(answers["logit"], score(strain)["logit"], atol=1e-4)


def kept(store, run):
    """All that the server has of a run, but for what the clock and the folder make."""
    experiment, run_id = run.info.experiment_id, run.info.run_id
    metrics = {
        name: [(one.step, one.value) for one in store.get_metric_history(run_id, name)]
        for name in run.data.metrics
        if not name.startswith("cost/")
    }
    where = f"source_run_id = '{run_id}'"
    models = store.search_logged_models([experiment], where)
    return {
        "status": run.info.status,
        "metrics": metrics,
        "costs": {name for name in run.data.metrics if name.startswith("cost/")},
        "params": {key: x for key, x in run.data.params.items() if "." in key},
        "tags": {
            key: x
            for key, x in run.data.tags.items()
            if "gwres." in key and key != tags.COMMIT
        },
        "more tags": {"mlflow.note.content", "mlflow.runName"} & set(run.data.tags),
        "data": sorted(
            (one.dataset.name, one.dataset.digest, one.tags[0].value)
            for one in run.inputs.dataset_inputs
        ),
        "files": sorted(walk(store.list_artifacts, run_id)),
        "models": [
            (
                one.status,
                one.name,
                {(x.key, x.value) for x in one.metrics if "cost/" not in x.key},
            )
            for one in models
        ],
        "files of models": [
            sorted(walk(store.list_logged_model_artifacts, one.model_id))
            for one in models
        ],
        "outputs": len(run.outputs.model_outputs),
    }


def walk(listed, of, path=None):
    for item in listed(of, path):
        if item.is_dir:
            yield from walk(listed, of, item.path)
        else:
            yield item.path


def gaps(store, run):
    """Seconds between the ends of epochs."""
    times = [
        one.timestamp for one in store.get_metric_history(run.info.run_id, "val/loss")
    ]
    assert times == sorted(times)
    return np.array([(b - a) / 1000 for a, b in pairwise(times)])


@needed
def test_a_killed_server_takes_nothing_from_a_training(
    trained, users, server, as_alice, monkeypatch, caplog
):
    """Bob's run ends after the server is back, Alice's before: her rest is uploaded."""
    before = {depth: found(as_alice, depth)[0] for depth in ("16", "18")}
    undisturbed = {depth: kept(as_alice, run) for depth, run in before.items()}
    bobs = users[1].start([sys.executable, "-c", PATIENT, *words(BOB)])
    begun = {}

    def epochs():
        """Epochs that the server knows of each run that is under way."""
        runs = [run for depth in ("18", "16") for run in found(as_alice, depth)[:1]]
        running = [run for run in runs if run.info.status == "RUNNING"]
        return {
            run.data.tags["gwres.depth"]: len(
                as_alice.get_metric_history(run.info.run_id, "val/loss")
            )
            for run in running
        }

    def kill():
        """In Alice's second epoch."""
        while epochs().get("16", 0) < 1:
            time.sleep(0.05)
        begun.update(epochs())
        server.kill()

    while epochs().get("18", 0) < 1:
        assert bobs.poll() is None, bobs.stdout.read()
        time.sleep(0.1)
    killer = threading.Thread(target=kill)
    killer.start()
    # Those who wait for it at the end would wait in vain.
    monkeypatch.setattr(outbox, "PATIENCE", 1.0)
    with pytest.raises(SystemExit) as end:
        entry.run("main", main.main, words(ALICE))
    killer.join()
    assert end.value.code == 1
    said = caplog.records[-1].getMessage()
    assert "is finished" in said and "ROC-AUC" in said
    assert "not logged: epoch" in said and "model (1)" in said
    assert "mlflow run . -e upload --env-manager local" in said
    server.start()
    output = ended(bobs)
    assert bobs.returncode == 0, output
    assert "takes what is logged again" in output
    sent = users[0].typed("mlflow run . --env-manager local -e upload")
    assert "sent     epoch" in sent
    for depth, settings in (("16", ALICE), ("18", BOB)):
        run = found(as_alice, depth)[0]
        assert run.info.run_id != before[depth].info.run_id
        assert 1 <= begun[depth] <= int(settings["epochs"])
        assert kept(as_alice, run) == undisturbed[depth]
        with_server, without = gaps(as_alice, before[depth]), gaps(as_alice, run)
        logger.info(
            "epochs of %s: %s, without a server %s", depth, with_server, without
        )
        assert without.max() < 3 * with_server.max() + 2
    assert not list(outbox.root().glob("*/"))


def test_the_containers_are_started_by_the_same_command():
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    own = shlex.split(services["mlflow"]["command"])
    typed = shlex.split(readme.line("mlflow --env-file team.env server"))
    assert own == ["mlflow", *typed[3:], "--host", "0.0.0.0"]
    assert services["mlflow"]["ports"] == ["127.0.0.1:5000:5000"]
    install = readme.line("pip install 'mlflow[auth]")
    package = services["mlflow"]["build"]["dockerfile_inline"]
    assert install.removeprefix("pip install ") in package
    assert f"mlflow[auth]=={mlflow.__version__}" in install
