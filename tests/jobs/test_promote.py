"""From runs to a champion: what is chosen, what is moved, and what survives a kill."""

import json
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import Model

from gwres.data.corpus import Windows
from gwres.data.split import split
from gwres.errors import InputError
from gwres.jobs import promote as job
from gwres.models.classifier import classifier, network
from gwres.models.resnet import ResNet
from gwres.simulate.noise import noise
from gwres.tracking import log, registry
from gwres.tracking.registry import ENSEMBLE
from gwres.tracking.runs import Member, Run
from gwres.training.recipe import Recipe
from tests.contract import awake, fresh

ROWS = 600
HASH = "0123456789abcdef"
FIELDS = [f"{i:010x}" for i in range(20_000)]


def made_up(name, loudness, seed, ids=None):
    """A predictions table whose windows and labels depend on the split alone."""
    rng = np.random.default_rng(len(name))
    labels = rng.integers(2, size=ROWS)
    evidence = rng.normal(size=ROWS) + 1.2 * labels
    other = np.random.default_rng(seed).normal(size=ROWS)
    table = {
        "id": [f"{name}{i:06d}" for i in range(ROWS)] if ids is None else ids,
        "split": name,
        "label": labels,
        "logit": loudness * evidence + other,
        "network_snr": np.nan,
    }
    return pd.DataFrame(table)


def logged(model, depth, loudness, score, seed, **changes):
    """Log a finished training run as `jobs.train` does, with predictions made up."""
    source = changes.get("source", "simulated")
    recipe = Recipe().vary({"depth": depth, "source": source})
    with log.run(recipe.name) as active:
        log.recipe(recipe)
        mlflow.set_tag(
            "gwres.split_hash", changes.get("split_hash", "0123456789abcdef")
        )
        # The best epoch is not the last.
        for step, value in enumerate([0.5, score, score - 0.1]):
            row = {"step": step, "train/loss": 1.0, "val/loss": 1.0}
            log.epoch(row | {"val/roc_auc": value})
        mlflow.log_metric("holdout/roc_auc", score - 0.01)
        for name in changes.get("splits", ("validation", "stack", "gate", "holdout")):
            with_ids = changes.get("ids", {}).get(name)
            table = made_up(name, loudness, seed, with_ids)
            path = Path(changes["folder"]) / f"{name}.parquet"
            table.to_parquet(path)
            mlflow.log_artifact(str(path), "predictions")
        _model(active, model)
    return active.id


def _model(run, folder):
    """Log the files of one small network, whatever the depth: it is not asked here."""
    client = mlflow.MlflowClient()
    made = client.create_logged_model(run.experiment_id, "model", run.id)
    client.log_model_artifacts(made.model_id, str(folder))
    client.finalize_logged_model(made.model_id, "READY")


def within(patch, experiment):
    """Have runs begin in the experiment, as --experiment-name does."""
    patch.setenv("MLFLOW_EXPERIMENT_NAME", experiment)
    mlflow.set_experiment(experiment)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store with runs in several experiments; gives experiment and depth to run."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
        small = awake(network(ResNet(16, width=2), "spectrogram"))
        example = noise(np.random.default_rng(0), 1)
        within(patch, "first")
        with log.run("first"):
            whole = classifier(small, np.ones((3, 2049)))
            model_id = log.model(whole, example)
        home = mlflow.get_logged_model(model_id).artifact_location
        model = home.removeprefix("file://")
        made = {}

        def add(experiment, depth, *rest, **changes):
            within(patch, experiment)
            changes["folder"] = folder
            made[experiment, depth] = logged(model, depth, *rest, **changes)

        add("pile", 16, 1.0, 0.70, 1)
        add("pile", 18, 1.1, 0.72, 2)
        add("worse", 34, 0.3, 0.60, 3)
        add("better", 50, 6.0, 0.90, 4)
        yield made, patch, add
        mlflow.set_tracking_uri(None)


@pytest.fixture
def client(store):
    """An empty registry."""
    client = mlflow.MlflowClient()
    for model in client.search_registered_models():
        client.delete_registered_model(model.name)
    within(store[1], "promotions")
    return client


def promote(experiment="pile", **options):
    """Promote in a run of its own, which is given."""
    with log.run("promote") as active:
        job.promote(experiment=experiment, **options)
    return mlflow.get_run(active.id)


def state(client):
    """Versions by model, and the ensemble's aliases."""
    models = client.search_registered_models()
    versions = {
        model.name: len(client.search_model_versions(f"name = '{model.name}'"))
        for model in models
    }
    aliases = next((dict(m.aliases) for m in models if m.name == ENSEMBLE), {})
    return versions, {name: int(version) for name, version in aliases.items()}


ONE_EACH = {"gwres-resnet16-templates": 1, "gwres-resnet18-templates": 1, ENSEMBLE: 1}


class Killed(BaseException):
    pass


def test_killed_anywhere_and_started_again_it_ends_alike(client, store, monkeypatch):
    """Killed after the members, then before the alias, then left to finish; twice."""

    def kill(*arguments):
        raise Killed

    for function, left in (
        ("join", {"gwres-resnet16-templates": 1, "gwres-resnet18-templates": 1}),
        ("move", ONE_EACH),
    ):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(registry, function, kill)
            promote()
        assert state(client) == (left, {})
    run = promote()
    assert state(client) == (ONE_EACH, {"champion": 1})
    assert run.data.tags["gwres.decision"] == "promoted"
    assert run.data.tags["gwres.reason"] == "there is no champion"
    again = promote()
    assert state(client) == (ONE_EACH, {"champion": 1})
    assert "is the champion already" in again.data.tags["gwres.reason"]
    _versions_say_what_they_are(client, store[0])
    _evidence_is_logged(run, store[0])


def _versions_say_what_they_are(client, made):
    [member] = client.search_model_versions("name = 'gwres-resnet18-templates'")
    assert member.tags["gwres.run_id"] == made["pile", 18]
    assert member.tags["gwres.split_hash"] == HASH
    assert member.tags["gwres.frontend"] == "templates"
    assert float(member.tags["gwres.score"]) == 0.72, "the best epoch's, not the last's"
    assert float(member.tags["gwres.holdout_roc_auc"]) == pytest.approx(0.71)
    [version] = client.search_model_versions(f"name = '{ENSEMBLE}'")
    assert (
        version.tags["gwres.members"]
        == "gwres-resnet18-templates/1, gwres-resnet16-templates/1"
    )
    low, middle, high = (
        float(version.tags[f"gwres.holdout_roc_auc{end}"])
        for end in ("_low", "", "_high")
    )
    assert low < middle < high
    run = client.get_run(version.tags["gwres.run_id"])
    used = {one.model_id for one in run.inputs.model_inputs}
    assert len(used) == 2
    local = mlflow.artifacts.download_artifacts(f"models:/{ENSEMBLE}/1")
    kept = Model.load(local)
    assert kept.signature.outputs.input_names() == ["logit", "probability", "detectors"]
    assert kept.load_input_example(local).shape == (1, 3, 4096)
    uris = [one["uri"] for one in kept.flavors["python_function"]["artifacts"].values()]
    assert "models:/gwres-resnet18-templates/1/artifacts/classifier.keras" in uris
    needed = (Path(local) / "requirements.txt").read_text().split()
    assert all("==" in line for line in needed)
    assert not list(Path(local, "artifacts").rglob("*.pkl"))


def _evidence_is_logged(run, made):
    path = mlflow.artifacts.download_artifacts(
        run_id=run.info.run_id, artifact_path="decision.json"
    )
    found = json.loads(Path(path).read_text())
    assert found["promoted"] is True
    assert {one["run"] for one in found["members"]} == {
        made["pile", 16],
        made["pile", 18],
    }
    assert found["gate"]["windows"] == found["holdout"]["windows"] == ROWS
    less = found["gate"]["less"]
    assert set(less) == {"the members' average", "the best member, resnet18-templates"}
    assert less["the best member, resnet18-templates"]["value"] > 0
    names = {
        item.path for item in mlflow.MlflowClient().list_artifacts(run.info.run_id)
    }
    assert {"report.html", "plots", "predictions", "decision.json"} <= names
    assert 0.5 < run.data.metrics["gate/roc_auc"] < 1
    assert 0.5 < run.data.metrics["holdout/roc_auc"] < 1


# Promotes, and is killed by the system when a function has been called so many times.
MORTAL = """
import os, signal, sys
import mlflow
from gwres.jobs.promote import promote
from gwres.tracking import log

experiment, name, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
owner = mlflow if hasattr(mlflow, name) else mlflow.MlflowClient
living = getattr(owner, name)

def mortal(*arguments, **options):
    global calls
    done = living(*arguments, **options)
    calls -= 1
    if not calls:
        os.kill(os.getpid(), signal.SIGKILL)
    return done

setattr(owner, name, mortal)
with log.run("promote"):
    promote(experiment=experiment)
"""
ALIAS = "set_registered_model_alias"


@pytest.mark.parametrize(
    ("experiment", "name", "calls", "versions", "aliases"),
    [
        # After the first member's version, then after the ensemble's.
        ("pile", "register_model", 1, {"gwres-resnet18-templates": 1}, {}),
        ("pile", "register_model", 3, ONE_EACH, {}),
        # Between the aliases: the old champion is still in its place.
        ("better", ALIAS, 1, None, {"champion": 1, "previous": 1}),
    ],
)
def test_killed_by_the_system_it_is_finished_by_the_next(
    client, experiment, name, calls, versions, aliases
):
    """What is left is told, and what the next makes of it is as if nothing had been."""

    def begin():
        for model in client.search_registered_models():
            client.delete_registered_model(model.name)
        if experiment != "pile":
            promote("pile", members="1")

    begin()
    promote(experiment)
    whole = state(client)
    begin()
    done = fresh(MORTAL, experiment, name, calls, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = state(client)
    assert left == (whole[0] if versions is None else versions, aliases)
    run = promote(experiment)
    assert state(client) == whole
    assert run.data.tags["gwres.decision"] == "promoted"


def test_only_what_beats_the_champion_takes_its_place(client):
    promote("pile", members="1")
    worse = promote("worse")
    assert worse.data.tags["gwres.decision"] == "kept"
    assert "does not beat the champion" in worse.data.tags["gwres.reason"]
    versions, aliases = state(client)
    assert versions[ENSEMBLE] == 2, "the loser stays registered"
    assert aliases == {"champion": 1}
    better = promote("better")
    assert "it beats the champion" in better.data.tags["gwres.reason"]
    assert better.data.metrics["gate/p"] < 0.05
    assert state(client)[1] == {"champion": 3, "previous": 1}
    with log.run("rollback") as active:
        job.rollback()
    assert state(client)[1] == {"champion": 1, "previous": 3}
    told = mlflow.get_run(active.id).data.tags["gwres.reason"]
    assert told == "version 3 was rolled back to version 1"
    again = promote("better")
    assert "version 3 was rolled back at" in again.data.tags["gwres.reason"]
    assert state(client)[1] == {"champion": 1, "previous": 3}
    with log.run("rollback"):
        job.rollback()
    assert state(client)[1] == {"champion": 3, "previous": 1}


def test_a_champion_of_another_split_scores_the_new_windows(client, store, monkeypatch):
    promote("worse")
    store[2]("other", 16, 6.0, 0.9, 5, split_hash="fedcba9876543210")
    table = made_up("gate", 0, 0).drop(columns="logit").sample(frac=1)
    asked = []

    def read(start, stop):
        asked.append(stop - start)
        return noise(np.random.default_rng(start), stop - start).astype(np.float32)

    gate = Windows("gate", table.reset_index(drop=True), read, None)
    opened = SimpleNamespace(judged={"gate": gate})
    monkeypatch.setattr(job, "open_corpus", lambda data: opened)
    run = promote("other")
    assert sum(asked) == ROWS
    assert "it beats the champion" in run.data.tags["gwres.reason"]
    assert state(client)[1] == {"champion": 2, "previous": 1}


def test_a_dry_run_tells_and_changes_nothing(client, caplog):
    caplog.set_level("INFO", "gwres")
    run = promote(dry=True)
    assert state(client) == ({}, {})
    assert run.data.tags["gwres.decision"] == "dry run"
    assert "would be champion: there is no champion" in caplog.text
    assert "resnet18-templates" in caplog.text


def refused(match, client, **options):
    before = state(client)
    with pytest.raises(InputError, match=match):
        promote(**options)
    assert state(client) == before


def test_what_cannot_be_promoted_moves_nothing(client, store):
    made, _, add = store
    refused(
        r"experiment promotions holds no finished .* runs: .*pile \(2\)",
        client,
        experiment="own",
    )
    refused("experiment nowhere holds no", client, experiment="nowhere")
    refused("received holdout/roc_auc", client, metric="holdout/roc_auc")
    refused("no finished training run with val/f1", client, metric="val/f1")
    refused("members must be from 1 to 2.*received 3", client, members="3")
    refused("some of resnet18-templates.*received x", client, members="x")
    add("unstacked", 16, 1.0, 0.7, 1, splits=("gate", "holdout"))
    refused("expected predictions/stack.parquet", client, experiment="unstacked")
    add("strange", 16, 1.0, 0.7, 1)
    add("strange", 18, 1.0, 0.7, 1, split_hash="fedcba9876543210")
    refused("same split hash.*fedcba9876543210: ", client, experiment="strange")
    refused("must be one of", client, experiment="strange", split_hash="0")
    # The leak: the id of a training file among the rows of the split stack.
    ids = {
        name: [one for one in FIELDS if split(one) == name][:ROWS]
        for name in ("validation", "stack", "gate", "holdout")
    }
    ids["stack"][5] = next(one for one in FIELDS if split(one) == "train")
    add("leaky", 16, 1.0, 0.7, 1, ids=ids, source="/data/g2net")
    refused("a member may have trained on them", client, experiment="leaky")
    assert state(client) == ({}, {})


def test_a_champion_whose_files_are_gone_is_told(client):
    promote("pile", members="1")
    champion = registry.current()
    kept = mlflow.get_logged_model(champion.model_id).artifact_location
    home = Path(kept.removeprefix("file://"))
    shutil.move(home, home.with_name("away"))
    refused(
        "the champion, version 1 .* its files are gone", client, experiment="better"
    )
    shutil.move(home.with_name("away"), home)
    run = champion.tags["gwres.run_id"]
    kept = mlflow.get_run(run).info.artifact_uri.removeprefix("file://")
    (Path(kept) / "predictions" / "gate.parquet").unlink()
    refused("expected predictions/gate.parquet", client, experiment="better")


def test_members_are_the_best_of_their_kind():
    def member(run_id, depth, score):
        tags = {"gwres.depth": depth, "gwres.frontend": "templates"}
        tags["gwres.split_hash"] = "a"
        return Member(Run(run_id, "0", "me", "FINISHED", tags, {}, {}, ""), score)

    pile = [member("b", "16", 0.7), member("a", "16", 0.7), member("c", "16", 0.6)]
    pile += [member("d", "34", 0.8), member("e", "50", 0.75)]
    assert [one.id for one in job.choose(pile, "all", "any")] == ["d", "e", "a"]
    assert [one.id for one in job.choose(pile[::-1], "2", "any")] == ["d", "e"]
    named = job.choose(pile, "resnet16-templates, resnet34-templates", "any")
    assert [one.id for one in named] == ["d", "a"]
