"""Training: it goes on where it stopped, and keeps the best."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from gwres.data.corpus import open_corpus
from gwres.data.settings import Data
from gwres.errors import InputError
from gwres.judging.metrics import Interval
from gwres.models.classifier import FRONTENDS
from gwres.models.resnet import DEPTHS
from gwres.training import epochs, fit
from gwres.training.recipe import Recipe
from tests.contract import fresh

TINY = {"bank": 48, "judged": 40, "psd_windows": 40, "depth": 16, "width": 2}
TINY |= {"samples": 128, "epochs": 4, "batch": 16, "precision": "float32"}
TINY |= {"frontend": "waveform"}  # the cheapest


@pytest.fixture(scope="module")
def recipe():
    return Recipe().vary(TINY)


@pytest.fixture(scope="module")
def opened():
    return open_corpus(Data(bank=48, judged=40, psd_windows=40))


@pytest.fixture(scope="module")
def whole(recipe, opened, tmp_path_factory):
    return fit.fit(recipe, opened, tmp_path_factory.mktemp("whole"))


class Killed(Exception):
    """Stands for the power cut."""


def logits(trained, opened):
    return fit.score(trained.classifier, opened.judged["holdout"])["logit"]


@pytest.mark.parametrize("epoch", [0, 2])
def test_a_killed_fit_ends_as_if_it_had_not_been(
    recipe, opened, whole, tmp_path, epoch
):
    def kill(row):
        if row["epoch"] == epoch:
            raise Killed

    with pytest.raises(Killed):
        fit.fit(recipe, opened, tmp_path, on_epoch=kill)
    seen = []
    again = fit.fit(recipe, opened, tmp_path, on_epoch=seen.append)
    assert [row["epoch"] for row in seen] == list(range(epoch + 1, 4))
    columns = ["train/loss", "val/loss", "val/roc_auc"]
    np.testing.assert_allclose(
        again.history[columns], whole.history[columns], rtol=1e-4
    )
    np.testing.assert_allclose(logits(again, opened), logits(whole, opened), atol=1e-4)


def test_killed_while_saving_goes_on_from_the_epoch_before(
    recipe, opened, whole, tmp_path, monkeypatch
):
    save = fit.Epochs._save

    def torn(self, epoch):
        if epoch == 2:
            # The weights are there, the state that names them is not.
            (self.folder / "epoch-0002.keras").write_bytes(b"half a file")
            raise Killed
        save(self, epoch)

    monkeypatch.setattr(fit.Epochs, "_save", torn)
    with pytest.raises(Killed):
        fit.fit(recipe, opened, tmp_path)
    monkeypatch.undo()
    again = fit.fit(recipe, opened, tmp_path)
    np.testing.assert_allclose(logits(again, opened), logits(whole, opened), atol=1e-4)


def test_another_seed_gives_another_network(recipe, opened, whole, tmp_path):
    other = fit.fit(recipe.vary({"seed": 1}), opened, tmp_path)
    assert np.abs(logits(other, opened) - logits(whole, opened)).max() > 1e-3


@pytest.fixture
def scored(monkeypatch):
    """Every epoch's ROC-AUC, given beforehand."""

    def give(*areas):
        made = iter(areas)
        monkeypatch.setattr(
            epochs, "roc_auc", lambda *_: Interval(next(made), 0.0, 1.0)
        )

    return give


def test_it_stops_early_and_keeps_the_best(recipe, opened, tmp_path, scored):
    scored(0.5, 0.7, 0.6, 0.6, 0.6, 0.6, 0.6)
    longer = recipe.vary({"epochs": 7, "patience": 2, "loud": 1.0})
    trained = fit.fit(longer, opened, tmp_path)
    assert len(trained.history) == 4
    assert trained.best == 1
    assert trained.score == 0.7
    assert {path.name for path in tmp_path.glob("*.keras")} == {
        "epoch-0001.keras",
        "epoch-0003.keras",
    }


def test_no_epoch_of_louder_signals_is_the_best(recipe, opened, tmp_path, scored):
    """Of seven, the first three hold some; until the fourth no patience is lost."""
    scored(0.9, 0.8, 0.8, 0.6, 0.7, 0.6, 0.6)
    longer = recipe.vary({"epochs": 7, "patience": 2, "loud": 3.0})
    trained = fit.fit(longer, opened, tmp_path)
    assert len(trained.history) == 7
    assert trained.best == 4
    assert trained.score == 0.7


def test_history_and_cost(whole):
    assert list(whole.history["step"]) == [2, 4, 6, 8]
    assert whole.windows == 128
    assert whole.core_seconds > 0
    assert whole.history["val/roc_auc"].between(0, 1).all()


def test_first_weights_come_from_a_classifier(recipe, opened, whole, tmp_path):
    path = tmp_path / "first.keras"
    whole.classifier.save(path)
    still = recipe.vary({"learning_rate": 1e-8, "epochs": 1, "samples": 16})
    trained = fit.fit(still, opened, tmp_path / "fit", weights=path)
    np.testing.assert_allclose(
        logits(trained, opened), logits(whole, opened), atol=1e-3
    )
    with pytest.raises(InputError, match="init must be a classifier of resnet16"):
        fit.fit(still.vary({"width": 3}), opened, tmp_path / "wide", weights=path)


def test_bfloat16_training_gives_a_float32_classifier(recipe, opened, tmp_path):
    low = recipe.vary({"precision": "mixed_bfloat16", "epochs": 1, "samples": 16})
    trained = fit.fit(low, opened, tmp_path)
    policies = {layer.dtype_policy.name for layer in trained.classifier.layers}
    assert policies == {"float32"}
    assert np.isfinite(logits(trained, opened)).all()


@pytest.mark.parametrize("warmup", [0, 7])
def test_the_rate_is_that_of_keras_without_its_branches(warmup):
    keras_one = keras.optimizers.schedules.CosineDecay(
        2e-5, 50 - warmup, warmup_target=2e-3, warmup_steps=warmup
    )
    rate = fit.Rate(2e-3, warmup, 50)
    again = fit.Rate.from_config(rate.get_config())
    for step in (0, 1, 6, 7, 8, 30, 49, 50, 60):
        expected = float(keras_one(step))
        assert float(rate(step)) == pytest.approx(expected, rel=1e-4, abs=1e-9)
        assert float(again(step)) == float(rate(step))
    traced = tf.function(rate).get_concrete_function(tf.constant(0))
    kinds = {operation.type for operation in traced.graph.get_operations()}
    assert not {kind for kind in kinds if "If" in kind or "Partitioned" in kind}


@pytest.mark.parametrize(
    ("flags", "policy"),
    [
        ("flags : fpu avx512f avx512_bf16", "mixed_bfloat16"),
        ("flags : fpu amx_bf16 amx_tile", "mixed_bfloat16"),
        ("flags : fpu avx2 avx512f", "float32"),
        (None, "float32"),
    ],
)
def test_bfloat16_is_for_processors_that_compute_in_it(
    flags, policy, tmp_path, monkeypatch
):
    if flags:
        (tmp_path / "cpuinfo").write_text(flags)
    monkeypatch.setattr(fit, "CPUINFO", tmp_path / "cpuinfo")
    assert fit.precision("auto") == policy
    assert fit.precision("float32") == "float32"


def test_an_accelerator_computes_in_bfloat16(monkeypatch):
    """Whatever the processor beside it does."""
    monkeypatch.setattr(fit, "CPUINFO", Path("/none"))
    assert fit.precision("auto") == "float32"
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["gpu:0"])
    assert fit.precision("auto") == "mixed_bfloat16"
    assert fit.precision("float32") == "float32"


# Each depth, and each front end; test_resnet.py saves and loads all pairs.
CASES = [(depth, "waveform") for depth in DEPTHS]
CASES += [(18, frontend) for frontend in FRONTENDS if frontend != "waveform"]
LOAD = """
import sys
import keras, numpy as np
from pathlib import Path
import gwres.models.classifier
folder = Path(sys.argv[1])
strain = np.load(folder / "strain.npy")
for path in folder.glob("*.keras"):
    np.save(path.with_suffix(".npy"), keras.models.load_model(path)(strain))
"""


@pytest.fixture(scope="module")
def eager():
    """Training without graphs, which take minutes to trace for one step of 18 nets."""
    compiled = fit._compiled

    def untraced(*arguments):
        model = compiled(*arguments)
        model.run_eagerly = True
        return model

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "_compiled", untraced)
        yield


@pytest.fixture(scope="module")
def reloaded(opened, eager, tmp_path_factory):
    """Every network trained a little: logits before saving, and in a new process."""
    folder = tmp_path_factory.mktemp("all")
    strain = opened.judged["gate"][:3]
    np.save(folder / "strain.npy", strain)
    before = {}
    for depth, frontend in CASES:
        settings = {"depth": depth, "frontend": frontend, "epochs": 1, "samples": 16}
        chosen = Recipe().vary(TINY | settings)
        name = f"{depth}-{frontend}"
        trained = fit.fit(chosen, opened, folder / "work" / name)
        assert np.isfinite(trained.history["train/loss"]).all()
        trained.classifier.save(folder / f"{name}.keras")
        before[name] = np.asarray(trained.classifier(strain))
    fresh(LOAD, folder)
    return {
        name: (old, np.load(folder / f"{name}.npy")) for name, old in before.items()
    }


@pytest.mark.parametrize("name", [f"{depth}-{frontend}" for depth, frontend in CASES])
def test_every_depth_and_front_end_trains_saves_and_loads(reloaded, name):
    before, after = reloaded[name]
    assert np.abs(before).max() > 0, "training moved it from no opinion"
    np.testing.assert_allclose(after, before, atol=1e-5)
    others = [logits for key, (logits, _) in reloaded.items() if key != name]
    assert all(np.abs(after - other).max() > 1e-5 for other in others)
