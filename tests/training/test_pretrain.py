"""Training in turns: it goes on where it stopped, on any backend."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gwres.data import material as materials
from gwres.data.material import open_material, prepare
from gwres.errors import InputError
from gwres.models import pretrained
from gwres.training import fit, pretrain
from gwres.training.recipe import Recipe

ROOT = Path(__file__).parents[2]
TINY = {"depth": 16, "width": 4, "frontend": "waveform", "samples": 128, "batch": 32}
TINY |= {"epochs": 2, "precision": "float32"}


@pytest.fixture(scope="module")
def folder():
    return prepare("g2net", 48)


@pytest.fixture
def material(folder, monkeypatch):
    monkeypatch.setattr(materials, "VALIDATED", 500)
    return open_material(folder)


@pytest.fixture
def recipe():
    return Recipe().vary(TINY)


def weights(folder):
    (path,) = Path(folder).glob("*.npz")
    with np.load(path) as arrays:
        return [arrays[name].astype(float) for name in sorted(arrays.files)]


def test_turns_may_be_had_one_by_one(recipe, material, tmp_path):
    whole = pretrain.pretrain(recipe, material, tmp_path / "whole", 2, tmp_path / "a")
    for turns in (1, 2):
        card = pretrain.pretrain(
            recipe, material, tmp_path / "parts", turns, tmp_path / "b"
        )
        assert len(card.turns) == turns and card.windows == turns * 128
    for one, other in zip(weights(tmp_path / "whole"), weights(tmp_path / "parts")):
        np.testing.assert_allclose(one, other, atol=2e-3)
    assert card.roc_auc == pytest.approx(whole.roc_auc, abs=0.01)
    first, second = card.turns
    assert second["learning_rate"] == first["learning_rate"] / 2
    assert first["backend"] == "tensorflow" and card.evidence > 0.8
    # A third call for two turns has nothing to do.
    before = weights(tmp_path / "parts")
    again = pretrain.pretrain(recipe, material, tmp_path / "parts", 2, tmp_path / "c")
    assert again.turns == card.turns
    np.testing.assert_array_equal(before[0], weights(tmp_path / "parts")[0])


def test_a_turn_begins_with_the_weights_of_the_one_before(
    recipe, material, tmp_path, monkeypatch
):
    pretrain.pretrain(recipe, material, tmp_path, 1, tmp_path / "work")
    (path,) = tmp_path.glob("*.npz")
    seen, real = [], fit.fit
    monkeypatch.setattr(
        fit, "fit", lambda *given: seen.append(given[3]) or real(*given)
    )
    pretrain.pretrain(recipe, material, tmp_path, 2, tmp_path / "work")
    assert seen == [path]
    wide = recipe.vary({"width": 6})
    with pytest.raises(InputError, match="are for .*'width': 4"):
        pretrain.pretrain(wide, material, tmp_path, 3, tmp_path / "work")


# As on a machine that has none of them.
ELSEWHERE = """
import runpy, sys
for name in ("tensorflow", "bilby", "lal", "lalsimulation", "mlflow", "optuna"):
    sys.modules[name] = None
sys.argv[0] = "pretrain"
runpy.run_module("gwres.training.pretrain", run_name="__main__")
"""


def elsewhere(backend, *arguments):
    """Run the module in a process of its own; what it prints, read as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *map(str, arguments)],
        env=os.environ | {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_jax_alone_trains_what_tensorflow_goes_on_with(
    recipe, folder, material, tmp_path
):
    settings = [f"{name}={value}" for name, value in TINY.items()]
    told = elsewhere("jax", folder, tmp_path, *settings, "--work", tmp_path / "work")
    assert [turn["backend"] for turn in told["turns"]] == ["jax"]
    assert told["windows"] == 128
    # The same weights give the same logits here.
    sized = recipe.sized()
    path = pretrained.find("resnet16-waveform", sized.model, tmp_path)
    card = pretrain.pretrain(recipe, material, tmp_path, 2, tmp_path / "more")
    assert [turn["backend"] for turn in card.turns] == ["jax", "tensorflow"]
    assert not path.exists(), "the weights of the turn before are gone"


def test_material_of_gaussian_noise_is_not_taken_for_another(tmp_path):
    recipe = Recipe().vary({"frontend": "waveform", "noise": "detector"})
    with pytest.raises(InputError, match="noise must be gaussian; received detector"):
        pretrain.pretrain(recipe, None, tmp_path, 1, tmp_path)
