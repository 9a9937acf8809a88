"""What a cluster makes, beside what this machine makes; see `test_cluster`."""

import os
import subprocess
import sys
import threading
import time
from functools import partial

import keras
import numpy as np
import psutil
import pytest

from gwres.data import pack, unlabelled
from gwres.data.corpus import open_corpus
from gwres.data.settings import Data
from gwres.engine.work import crew, each
from gwres.jobs import predict
from gwres.matched import score as scoring
from gwres.models.classifier import classifier, network
from gwres.models.resnet import ResNet
from gwres.search import psd
from gwres.search.strain import open_strain
from gwres.serve.scorer import Scorer
from gwres.simulate import dataset, waveforms
from gwres.simulate.population import population
from tests import readme
from tests.engine import cluster, jobs
from tests.mlproject.conftest import Project
from tests.search.recorded import GPS, challenge, white
from tests.training.test_shares import Few, lost, undisturbed_and

G2NET = population("g2net")


def contents(folder):
    """Bytes of a folder's files, by name."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def made(folder, strain, packed):
    """A bank, a judged set, packed windows, and whitened strain."""
    windows = dataset.cached_windows(dataset.Source(G2NET, 3, "holdout"), 20)
    pack.write(packed, open_corpus(Data(source=str(folder))), {})
    parts = [one.tobytes() for _, one in psd.parts(open_strain(strain))]
    bank = waveforms.bank(G2NET, 12, 7)
    return contents(bank), contents(windows), contents(packed), parts


@pytest.fixture
def small(monkeypatch):
    """Chunks of a few, which workers are told by their items."""
    monkeypatch.setattr(waveforms, "CHUNK", 2)
    monkeypatch.setattr(dataset, "CHUNK", 4)
    monkeypatch.setattr(pack, "SHARD", 16)
    monkeypatch.setattr(pack, "CHUNK", 8)
    monkeypatch.setattr(psd, "GROUP", 2)


@pytest.mark.usefixtures("small")
def test_files_are_the_same_to_the_byte(monkeypatch, tmp_path):
    dataset.write(tmp_path / "set", G2NET, 60, 4, seed=5)
    strain = challenge(tmp_path / "strain.hdf", {("H1", GPS): white(0, 80, 2048)})
    results = []
    for name in ("cluster", "disturbed", "here"):
        monkeypatch.setenv("GWRES_CACHE", str(tmp_path / name))
        if name == "here":
            monkeypatch.delenv("RAY_ADDRESS")
        if name == "disturbed":
            killer = threading.Thread(target=kill_one)
            killer.start()
        packed = tmp_path / f"{name}-packed"
        results.append(made(tmp_path / "set", strain, packed))
        if name == "disturbed":
            killer.join()
    clean, disturbed, here = results
    assert len(here[0]) == 5 and len(here[1]) == 5
    assert len(here[2]) > 20 and len(here[3]) == 5
    assert clean == here
    assert disturbed == here


def test_scores_and_a_submission_are_the_same(curve, monkeypatch, tmp_path):
    monkeypatch.setattr(scoring, "CHUNK", 4)
    monkeypatch.setattr(predict, "PART", 4)
    dataset.write(tmp_path / "set", G2NET, 4, 12, seed=5)
    windows = unlabelled.opened(tmp_path / "set")
    strain = np.stack(next(windows.parts(12)).read(0, 12)[0])
    keras.utils.set_random_seed(0)
    made = classifier(network(ResNet(16, 2), "spectrogram"), curve)
    made.save(tmp_path / "classifier.keras")
    scorer = Scorer({"classifier": tmp_path / "classifier.keras"})
    results = []
    for name in ("cluster", "disturbed", "here"):
        if name == "here":
            monkeypatch.delenv("RAY_ADDRESS")
            monkeypatch.setenv("GWRES_WORKERS", "1")
        out, work = tmp_path / f"{name}.csv", tmp_path / name
        work.mkdir()
        for job in (
            lambda: results.append(scoring.score(strain, curve, G2NET).tolist()),
            lambda out=out, work=work: predict.write(windows, scorer, out, work),
        ):
            killer = threading.Thread(target=kill_one)
            if name == "disturbed":
                killer.start()
            job()
            if name == "disturbed":
                killer.join()
        results.append(out.read_bytes())
    assert len(results[0]) == 12 and results[1].count(b"\n") == 13
    assert results[0:2] == results[2:4] == results[4:6]


def kill_one():
    """Kill a worker that is in an item."""
    while True:
        for process in named("ray::_attempt"):
            process.kill()
            return
        time.sleep(0.01)


def test_a_command_writes_the_same_data_set(tmp_path):
    project, sets = Project(tmp_path / "project"), []
    for place in ({}, {"cluster": None}):
        words = readme.command(
            "mlflow run . --env-manager local -e simulate -P out=simulated -P cluster=",
            train="20",
            test="4",
        )
        if place:
            at = words.index(f"cluster={cluster.ADDRESS}")
            del words[at - 1 : at + 1]
            del project.environment["RAY_ADDRESS"]
        code, output = project.run(words)
        assert code == 0, output
        sets.append(contents(project.folder / "simulated"))
        (project.folder / "simulated").rename(tmp_path / f"set{len(sets)}")
    assert len(sets[0]) > 24 and sets[0] == sets[1]


def test_a_training_is_shared_and_an_actor_may_be_killed(
    designed, curve, tmp_path, caplog
):
    def kill(row):
        if row["epoch"] == 1:
            actors = named("ray::_Actor")
            assert len(actors) == 2
            actors[0].kill()

    undisturbed_and(kill, Few(designed, curve), tmp_path, workers=2)
    assert lost(caplog) == 1


def named(word):
    """Processes whose command holds a word."""
    every = psutil.process_iter(["cmdline"])
    return [one for one in every if word in " ".join(one.info["cmdline"] or [])]


def test_it_is_reached_by_loopback_alone():
    listening = [
        one.laddr.ip for one in psutil.net_connections() if one.status == "LISTEN"
    ]
    assert len(listening) > 5
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("address", "token"),
    [
        (cluster.ADDRESS, None),
        (cluster.ADDRESS, "0" * 64),
        ("127.0.0.1:6380", None),
        ("ray://127.0.0.1:6380", None),
    ],
)
def test_without_a_token_or_an_address_of_a_cluster_nothing_is_done(
    tmp_path, address, token
):
    if token:
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text(token)
    script = "from gwres.engine.work import each\nlist(each(abs, range(3)))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"HOME": str(tmp_path), "RAY_ADDRESS": address},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        f"gwres.errors.InputError: RAY_ADDRESS={address}: "
    )


def test_a_machine_that_is_gone_takes_nothing_with_it(tmp_path):
    """Neither an item nor a part of a step. Last: one node is left."""
    work = [(number, str(tmp_path)) for number in range(12)]
    with crew(partial(jobs.adder, 0, str(tmp_path)), 2) as workers:
        first = workers.step(0, [1, 2])
        results = each(jobs.slow, work)
        assert next(results) == 0
        lose_a_node()
        assert list(results) == list(range(1, 12))
        again = workers.step(0, [1, 2])
    assert [one for one, _ in first] == [one for one, _ in again] == [1, 2]
    assert len({process for _, process in first + again}) == 3


def lose_a_node():
    """Kill the node that is not the head."""
    raylets = [
        process
        for process in psutil.process_iter(["name", "cmdline"])
        if process.info["name"] == "raylet" and "--head" not in process.info["cmdline"]
    ]
    [node] = raylets
    node.kill()
