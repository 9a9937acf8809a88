"""MLflow's own objects stay in the room `tracking`."""

import ast
import dataclasses
import inspect
from pathlib import Path

import mlflow
import numpy as np
import pytest

from gwres.models.classifier import classifier, network
from gwres.models.resnet import ResNet
from gwres.simulate.noise import noise
from gwres.tracking import log, registry, runs, store, ui
from gwres.training.recipe import Recipe

ROOT = Path(__file__).parents[2] / "gwres"
# How MLflow's Run is read: run.info.run_id, run.data.tags.
PARTS = {"info", "data"}
READ = {"run_id", "experiment_id", "status", "artifact_uri", "run_name"}
READ |= {"tags", "params", "metrics"}


def readings():
    """Places outside `tracking` that read an object of MLflow's."""
    for path in sorted(ROOT.rglob("*.py")):
        if path.parent.name == "tracking":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            inner = getattr(node, "value", None)
            if (
                isinstance(node, ast.Attribute)
                and isinstance(inner, ast.Attribute)
                and inner.attr in PARTS
                and node.attr in READ
            ):
                yield f"{path.relative_to(ROOT)}:{node.lineno}"


def test_no_other_room_reads_one():
    assert list(readings()) == []


def strange(value, seen=()):
    """Objects of MLflow within a value, however deep."""
    if type(value).__module__.partition(".")[0] == "mlflow":
        yield value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from strange(getattr(value, field.name))
    elif isinstance(value, dict):
        for inner in (*value, *value.values()):
            yield from strange(inner)
    elif isinstance(value, (list, tuple, set)):
        for inner in value:
            yield from strange(inner)


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What each function of the room gives, of a store with a champion."""
    folder = tmp_path_factory.mktemp("store")
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    given = {}

    def keep(function, *arguments):
        given[function.__qualname__] = function(*arguments)
        return given[function.__qualname__]

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        recipe = Recipe().vary({"depth": 16, "frontend": "waveform"})
        with log.run("train") as run:
            given["log.run"] = run
            log.recipe(recipe)
            mlflow.set_tag("gwres.split_hash", "a")
            row = {"step": 1, "train/loss": 0.6, "val/loss": 0.6, "val/roc_auc": 0.8}
            log.epoch(row)
            small = classifier(
                network(ResNet(16, 2), "spectrogram"), np.ones((3, 2049))
            )
            keep(log.model, small, noise(np.random.default_rng(0), 1))
            keep(runs.present)
            keep(runs.experiment, run.experiment_id, mlflow.get_tracking_uri())
            keep(ui.next_steps)
            with log.child("below") as below:
                given["log.child"] = below
            keep(runs.schedule, "later", {})
        with log.run("promote"):
            keep(runs.read, run.id)
            keep(runs.tagged, {"gwres.depth": "16"})
            [member] = keep(runs.finished, "own", "val/roc_auc")
            member = keep(runs.with_model, member)
            member = keep(registry.register, member)
            client = mlflow.MlflowClient()
            client.create_registered_model(registry.ENSEMBLE)
            uri = f"models:/{member.model_id}"
            mlflow.register_model(uri, registry.ENSEMBLE)
            client.set_registered_model_alias(registry.ENSEMBLE, "champion", "1")
            keep(registry.current)
            keep(registry.version_of, member.name, "gwres.run_id", run.id)
            keep(registry.pin, member.name)
            keep(registry.identity, uri)
            keep(registry.data, uri)
            keep(registry.registered)
            keep(registry.require_files, member.model_id, "it")
            with registry.files(uri) as files:
                given["registry.files"] = dict(files)
            keep(runs.environment, "x")
            keep(runs.first_weights, run.id)
    mlflow.set_tracking_uri(None)
    return given


def test_what_the_room_gives_is_ours(answers):
    assert len(answers) >= 19
    for name, value in answers.items():
        assert not list(strange(value)), name


def test_an_object_of_mlflow_is_found():
    run = mlflow.entities.RunTag("a", "b")
    assert list(strange({"x": [runs.Run("a", "0", "n", "s", {}, {}, {}, run)]}))


def test_the_rooms_functions_are_asked(answers):
    """A new public function that gives something belongs into `answers`."""
    silent = {"amend", "move", "rollback", "join", "describe", "lock", "open_store"}
    silent |= {"predictions", "tables", "one_promotion", "prepare", "colour"}
    silent |= {"server", "command", "unproved", "check_place", "check_reached"}
    silent |= {"database", "lead"}
    asked = {name.rpartition(".")[2] for name in answers}
    for module in (runs, registry, ui, store):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            own = function.__module__ == module.__name__
            if own and not name.startswith("_"):
                assert name in asked | silent, f"{module.__name__}.{name}"
