"""A network is taught the evidence by time and mass, and nothing of the label."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy.special import logsumexp

from gwres.data.corpus import open_corpus
from gwres.layers.evidence import POOL
from gwres.layers.templates import COARSE, STEP
from gwres.models.classifier import network
from gwres.models.resnet import ResNet
from gwres.training import fit
from gwres.training.recipe import Recipe
from gwres.training.teacher import MASSES, loss, pupil, summed, taught

TIMES = COARSE.span // STEP
CELLS = COARSE.ticks // POOL, COARSE.count
TINY = {"bank": 48, "judged": 40, "psd_windows": 40, "depth": 16, "width": 4}
TINY |= {"samples": 64, "epochs": 1, "batch": 16, "precision": "float32"}
TAUGHT = ["waveform", "spectrogram"]


@pytest.fixture(scope="module")
def corpus():
    return open_corpus(Recipe().vary(TINY).data)


@pytest.fixture
def cells():
    return np.random.default_rng(0).normal(-6, 2, (5, *CELLS)).astype(np.float32)


def made(frontend, corpus):
    return network(ResNet(depth=16, width=4), frontend, corpus.filters())


def test_coarse_cells_hold_all_of_the_evidence(cells):
    coarse = ops.convert_to_numpy(summed(cells, TIMES))
    assert coarse.shape == (5, TIMES * MASSES)
    np.testing.assert_allclose(
        logsumexp(coarse, axis=1), logsumexp(cells, axis=(1, 2)), rtol=1e-5
    )
    # The first coarse cell: the first times, and the templates of lowest mass.
    here = cells[:, : CELLS[0] // TIMES, : CELLS[1] // MASSES]
    np.testing.assert_allclose(coarse[:, 0], logsumexp(here, axis=(1, 2)), rtol=1e-5)


def test_the_loss_is_least_where_the_network_says_what_the_evidence_says(cells):
    guess = ops.convert_to_numpy(summed(cells, TIMES))
    logit = logsumexp(guess, axis=1, keepdims=True)
    least = float(loss(logit, guess, cells))
    rng = np.random.default_rng(1)
    for step in (1e-2, 0.3, 3.0):
        assert float(loss(logit + step, guess, cells)) > least
        assert float(loss(logit - step, guess, cells)) > least
        moved = guess + rng.normal(0, step, guess.shape)
        assert float(loss(logit, moved.astype(np.float32), cells)) > least


def test_the_loudest_evidence_is_a_finite_lesson(cells):
    loud = np.full_like(cells, 75.0)
    logit, guess = np.zeros((5, 1), np.float32), np.zeros((5, TIMES * MASSES))
    assert np.isfinite(float(loss(logit, guess.astype(np.float32), loud)))


@pytest.mark.parametrize("frontend", TAUGHT)
def test_the_pupil_is_the_network(frontend, corpus, tmp_path):
    plain = made(frontend, corpus)
    model = taught(plain, corpus.filters())
    windows = corpus.validation()[0][:8].astype(np.float32)
    expected = plain.predict(windows, verbose=0)
    np.testing.assert_allclose(model.predict(windows, verbose=0), expected, atol=1e-6)
    model.save(tmp_path / "taught.keras")
    loaded = keras.models.load_model(tmp_path / "taught.keras")
    fresh = made(frontend, corpus)
    fresh.set_weights(pupil(loaded).get_weights())
    np.testing.assert_allclose(fresh.predict(windows, verbose=0), expected, atol=1e-6)
    assert pupil(plain) is plain


@pytest.mark.parametrize("frontend", TAUGHT)
def test_a_map_of_a_whole_second_is_taught_too(frontend, wide):
    """As many times of 31 ms as the population's mergers need."""
    model = taught(network(ResNet(16, width=4), frontend, wide), wide)
    times = wide.coarse.grid.span // STEP
    assert times == 34
    assert model.get_layer("map").output.shape == (None, times * MASSES)
    batch = np.random.default_rng(0).standard_normal((4, 2048, 3)).astype(np.float32)
    model.compile(keras.optimizers.SGD(0.01))
    told = model.fit(batch, np.zeros((4, 1)), epochs=1, verbose=0)
    assert np.isfinite(told.history["loss"]).all()


@pytest.mark.parametrize("frontend", TAUGHT)
def test_labels_teach_nothing_where_the_evidence_does(frontend, corpus):
    batch = corpus.validation()[0][:16].astype(np.float32)
    learned = []
    for label in (0.0, 1.0):
        keras.utils.set_random_seed(0)
        model = taught(made(frontend, corpus), corpus.filters())
        model.compile(keras.optimizers.SGD(0.1))
        before = model.get_layer("logit").get_weights()[0].copy()
        model.fit(batch, np.full((16, 1), label), epochs=2, verbose=0)
        learned.append(model.get_layer("logit").get_weights()[0])
    np.testing.assert_allclose(*learned, atol=1e-6)
    assert np.abs(learned[0] - before).max() > 1e-4


def test_what_is_not_learned_stays(corpus):
    model = taught(made("spectrogram", corpus), corpus.filters())
    trained = {path for path in (v.path for v in model.trainable_variables)}
    assert not [path for path in trained if "teacher" in path]
    assert [path for path in trained if path.startswith("map/")]


def test_a_fit_is_taught_by_whom_the_recipe_says(corpus, tmp_path):
    recipe = Recipe().vary(TINY | {"frontend": "waveform"})
    said = {}
    for teacher in ("labels", "evidence"):
        given = recipe.vary({"teacher": teacher})
        trained = fit.fit(given, corpus, tmp_path / teacher)
        (kept,) = (tmp_path / teacher).glob("epoch-*.keras")
        names = [layer.name for layer in keras.models.load_model(kept).layers]
        said[teacher] = "lesson" in names
        inner = trained.classifier.get_layer(trained.classifier.name)
        assert "lesson" not in [layer.name for layer in inner.layers]
    assert said == {"labels": False, "evidence": True}
