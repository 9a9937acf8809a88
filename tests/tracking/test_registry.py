"""Models by name: what a name means, whose files are there, what stores held before."""

import re
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest

from gwres.errors import InputError
from gwres.models.classifier import classifier, network
from gwres.models.resnet import ResNet
from gwres.models.stack import Stack
from gwres.serve import registered
from gwres.simulate.noise import noise
from gwres.tracking import log, registry, tags
from gwres.tracking.runs import Member, Run
from gwres.training.recipe import Recipe
from tests.contract import awake


@pytest.fixture(scope="module")
def strain():
    return noise(np.random.default_rng(0), 3)


@pytest.fixture(scope="module")
def network_of_before():
    return classifier(awake(network(ResNet(16, 2), "spectrogram")), np.ones((3, 2049)))


@pytest.fixture(scope="module")
def model_id(network_of_before, strain, tmp_path_factory):
    """A logged classifier in a store of its own."""
    folder = tmp_path_factory.mktemp("store")
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with log.run("train"):
            made = log.model(network_of_before, strain[:1])
        yield made
    mlflow.set_tracking_uri(None)


def home(model_id):
    """The folder of a logged model's files."""
    kept = mlflow.get_logged_model(model_id).artifact_location
    return Path(kept.removeprefix("file://"))


def member(model_id, frontend, score):
    """A finished training of depth 16, by its tags."""
    named = {tags.DEPTH: "16", tags.FRONTEND: frontend, tags.SPLIT_HASH: "a"}
    metrics = {"holdout/roc_auc": score}
    run = Run(f"run-{frontend}", "0", "r", "FINISHED", named, {}, metrics, "")
    return Member(run, score, model_id)


def test_front_ends_of_one_depth_have_names_of_their_own(model_id):
    """The newest version of a bare name cannot be another front end's."""
    better = registry.register(member(model_id, "templates", 0.85))
    worse = registry.register(member(model_id, "waveform", 0.70))
    assert better.name == "gwres-resnet16-templates"
    assert worse.name == "gwres-resnet16-waveform"
    assert registry.pin(better.name) == "models:/gwres-resnet16-templates/1"
    assert registry.pin(worse.name) == "models:/gwres-resnet16-waveform/1"
    again = registry.register(member(model_id, "templates", 0.85))
    assert again.version == better.version, "a run is registered once"


def test_a_name_from_before_still_means_its_version(model_id):
    """Stores made before hold gwres-resnet<depth>, whatever its front end."""
    for _ in range(2):
        mlflow.register_model(f"models:/{model_id}", "gwres-resnet16")
    assert registry.pin("gwres-resnet16/1") == "models:/gwres-resnet16/1"
    assert registry.pin("gwres-resnet16") == "models:/gwres-resnet16/2"


def test_a_name_that_is_none_tells_those_there_are(model_id):
    mlflow.register_model(f"models:/{model_id}", "gwres-resnet16-spectrogram")
    with pytest.raises(InputError, match="registered are .*gwres-resnet16-spectrogram"):
        registry.pin("gwres-resnet16-spectrograms")


def test_files_are_listed_and_not_fetched(model_id, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("no file of the network need be fetched")

    fetched = []
    load = mlflow.models.get_model_info

    def describe(uri):
        fetched.append(uri)
        return load(uri)

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", refuse)
    monkeypatch.setattr(mlflow.models, "get_model_info", describe)
    registry.require_files(model_id, "the model")
    assert fetched == [f"models:/{model_id}"]


def test_files_that_are_gone_are_told(model_id):
    path = home(model_id) / "artifacts" / "classifier.keras"
    aside = path.with_suffix(".aside")
    path.rename(aside)
    try:
        with pytest.raises(InputError, match="the model .*gone: .*classifier.keras"):
            registry.require_files(model_id, "the model")
        with pytest.raises(InputError, match="cannot be loaded: .*classifier.keras"):
            registered.load(f"models:/{model_id}")
    finally:
        aside.rename(path)


def test_a_folder_that_was_moved_is_told_with_where_it_was(model_id):
    """MLflow records whole paths; a link from the old place to the new mends it."""
    mlflow.register_model(f"models:/{model_id}", "moved")
    folder = home(model_id)
    away = folder.with_name("away")
    folder.rename(away)
    place = re.escape(str(folder))
    try:
        with pytest.raises(
            InputError, match=f"received moved: .*recorded at .*{place}"
        ):
            registry.pin("moved")
        with pytest.raises(InputError, match=f"the model .*gone: .*recorded.*{place}"):
            registry.require_files(model_id, "the model")
        folder.symlink_to(away)
        assert registry.pin("moved") == "models:/moved/1"
        folder.unlink()
    finally:
        away.rename(folder)


def test_no_code_that_was_logged_is_run(model_id, network_of_before, strain):
    """A model of another version answers with the code of this one."""
    code = home(model_id) / "code" / "gwres" / "__init__.py"
    text, modules, path = code.read_text(), set(sys.modules), list(sys.path)
    code.write_text("raise RuntimeError('code of another day')\n")
    try:
        score = registered.load(f"models:/{model_id}")
    finally:
        code.write_text(text)
    expected = np.asarray(network_of_before(strain.astype(np.float32)))[:, 0]
    np.testing.assert_allclose(score(strain)["logit"], expected, atol=1e-5)
    assert sys.path == path
    assert modules <= set(sys.modules), "no module was forgotten"


@pytest.fixture(scope="module")
def told(model_id, network_of_before, strain):
    """Versions of two models whose runs tell what they were trained on."""
    members = []
    for name, kind in (("field", "detector"), ("g2net", "gaussian")):
        recipe = Recipe().vary({"population": name, "noise": kind, "bank": 99})
        with log.run("train") as active:
            log.recipe(recipe)
            made = log.model(network_of_before, strain[:1])
        named = {tags.DEPTH: "16", tags.FRONTEND: kind, tags.SPLIT_HASH: "a"}
        run = Run(active.id, "0", "r", "FINISHED", named, {}, {}, "")
        members.append(registry.register(Member(run, 0.8, made)))
    return members


def test_what_a_model_was_trained_on(told):
    known = ("field", "detector"), ("g2net", "gaussian")
    for one, expected in zip(told, known):
        for uri in (f"models:/{one.name}/{one.version}", f"models:/{one.model_id}"):
            found = registry.data(registry.pin(uri))
            assert (found.population, found.noise) == expected
            assert found.bank == 99 and found.source == "simulated"
        assert registry.identity(f"models:/{one.name}/{one.version}") == one.model_id


def test_what_an_ensemble_was_trained_on_is_its_first_members(told):
    for members, population in ((told, "field"), (told[::-1], "g2net")):
        named = ", ".join(f"{one.name}/{one.version}" for one in members)
        stack = Stack("average", (0.5, 0.5), 0.0, 0.0)
        with log.run("promote"):
            version = registry.join(members, stack, {tags.MEMBERS: named})
        assert registry.data(version.uri).population == population


def test_a_run_that_does_not_tell_is_refused(model_id):
    with pytest.raises(InputError, match=f"models:/{model_id} does not"):
        registry.data(f"models:/{model_id}")


def git(folder, *words):
    who = ["-c", "user.name=me", "-c", "user.email=me@here"]
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True)


def test_only_the_repository_that_keeps_gwres_names_its_commit(tmp_path, monkeypatch):
    """An installed package may lie within a checkout of something else."""
    package = tmp_path / ".venv" / "site-packages" / "gwres"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (tmp_path / "thesis.tex").touch()
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "thesis.tex")
    git(tmp_path, "commit", "-qm", "thesis")
    monkeypatch.setattr(log, "HERE", package)
    assert tags.COMMIT not in log._provenance()
    git(tmp_path, "add", "-f", str(package))
    git(tmp_path, "commit", "-qm", "gwres")
    assert len(log._provenance()[tags.COMMIT]) == 40
