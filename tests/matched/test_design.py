"""The prior of the front end's templates is that of the simulated population."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from gwres.data.corpus import open_corpus
from gwres.data.settings import Data, Live
from gwres.judging import metrics
from gwres.layers.evidence import delays as ticks_apart
from gwres.layers.templates import COARSE, FINE
from gwres.matched.design import grids, layout, noise
from gwres.models.classifier import network
from gwres.models.resnet import ResNet
from gwres.simulate.detectors import delays
from gwres.simulate.population import population
from gwres.strain import WHITENED_RATE

COUNT = 1600  # windows, half of them signals


def windows(name):
    """Whitened windows (COUNT, 2048, 3) of many waveforms, and their labels."""
    opened = open_corpus(Data(population=name, bank=800, judged=8, psd_windows=200))
    batches = opened.batches(Live(batch=COUNT // 8, loud=1.0, drop=0.0), 7, 8)
    made = [(x.numpy(), y.numpy().ravel()) for x, y in batches]
    return tuple(np.concatenate(parts) for parts in zip(*made))


@pytest.fixture(scope="module")
def live():
    return windows("g2net")


def logits(filters, x):
    """Of an untrained network, whose head is zero: the log Bayes factor alone."""
    model = network(ResNet(16, width=4), "templates", filters)
    return model.predict(x, batch_size=100, verbose=0)[:, 0].astype(float)


def cost(labels, found):
    """Mean loss in nats; a coin has log 2."""
    return np.mean(np.logaddexp(0, found) - labels * found)


def calibrated(labels, found, slack):
    """Refuse logits whose probabilities are not the shares of signals."""
    chance = expit(found)
    for low, high in ((0.1, 0.3), (0.3, 0.7), (0.7, 1.0)):
        inside = (chance >= low) & (chance < high)
        assert inside.sum() > 50
        error = 2.6 * np.sqrt(0.25 / inside.sum())
        expected = chance[inside].mean()
        assert labels[inside].mean() == pytest.approx(expected, abs=error + slack)


def test_untrained_odds_are_calibrated(designed, live):
    x, labels = live
    found = logits(designed, x)
    calibrated(labels, found, 0.04)
    assert metrics.roc_auc(labels, found).low > 0.82


def test_untrained_odds_are_calibrated_in_the_field(wide):
    """Mergers in a whole second, detectors missing, masses of 10 to 160."""
    x, labels = windows("field")
    assert 0.05 < 1 - x.any(axis=1).mean() < 0.3, "detectors are missing"
    found = logits(wide, x)
    calibrated(labels, found, 0.05)
    assert metrics.roc_auc(labels, found).low > 0.73
    # Detectors that do not share the SNR of those that are missing are a worse prior.
    worse = replace(wide, prior=replace(wide.prior, shared=False))
    assert cost(labels, logits(worse, x)) > cost(labels, found)


def test_levels_of_noise_are_measured(designed, wide):
    """Of `g2net` they were known before; an image of noise has them taken out."""
    assert designed.noise.cells == pytest.approx((-10.4, 1.34), abs=0.25)
    assert designed.noise.highest == pytest.approx((1.8, 0.6), abs=0.02)
    assert wide.noise.cells[0] < designed.noise.cells[0] - 0.3
    again = noise(designed.design, designed.prior, population("g2net").segment, 64)
    assert again.cells == pytest.approx(designed.noise.cells, abs=0.1)


def test_grids_follow_from_the_population(designed, wide):
    assert designed.design.grid == FINE and designed.coarse.grid == COARSE
    assert grids(population("volumetric")) == grids(population("g2net"))
    for held in (wide.design, wide.coarse):
        ticks = held.grid.times
        assert ticks[0] < 0.48 and ticks[-1] > 1.52
        assert held.basis.shape == (2, held.grid.rank, held.grid.length)
        assert held.mix.shape == (2, held.grid.count, held.grid.rank)
    heavy = replace(population("field"), total_mass_msun=(60.0, 160.0))
    assert grids(heavy)["fine"].count == FINE.count
    assert grids(heavy)["fine"].span == wide.design.grid.span
    # Caches of before stay valid.
    expected = ["IMRPhenomD", 0, 64, 40, 1056, 2, 32, 24, 640, 2, 4]
    assert layout(population("g2net")) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"alignment": lambda known: -known},
        {"spread": lambda known: 20 * known},
        {"spread": lambda known: known / 20},
        {"cells": lambda known: known[::-1, ::-1]},
    ],
)
def test_another_prior_is_a_worse_one(designed, live, change):
    x, labels = live
    prior = designed.prior
    worse = replace(prior, **{k: f(getattr(prior, k)) for k, f in change.items()})
    loss = cost(labels, logits(designed, x))
    assert cost(labels, logits(replace(designed, prior=worse), x)) > loss + 0.003
    assert loss < np.log(2) - 0.15


@pytest.mark.parametrize("name", ["g2net", "field"])
def test_probabilities_are_the_populations(name, designed, wide):
    filters = {"g2net": designed, "field": wide}[name]
    prior, grid, rng = filters.prior, filters.design.grid, np.random.default_rng(0)
    assert np.exp(prior.cells.astype(float)).sum() == pytest.approx(1, abs=1e-5)
    ra = rng.uniform(0, 2 * np.pi, 20_000)
    dec = np.arcsin(rng.uniform(-1, 1, 20_000))
    late = delays(ra, dec)
    drawn = population(name).draw(rng, 20_000, ("merger_time",))["merger_time"]
    ticks = grid.times
    near, far = ticks_apart(grid.tick)
    inside = (drawn + late[:, 0] >= ticks[0]) & (drawn + late[:, 0] <= ticks[-1])
    assert inside.mean() > 0.995, "the map holds all mergers"
    known = np.exp(prior.cells.astype(float)).sum(axis=1).reshape(8, -1).sum(axis=1)
    edges = np.append(ticks[:: grid.ticks // 8], ticks[-1])
    found, _ = np.histogram((drawn + late[:, 0])[inside], edges, density=True)
    np.testing.assert_allclose(known, found / found.sum(), atol=0.02)
    for detector, chances, steps in ((1, prior.chances, near), (2, prior.far, far)):
        assert chances.sum() == pytest.approx(1)
        mean = (late[:, detector] - late[:, 0]).mean() * WHITENED_RATE / grid.tick
        assert chances @ np.array(steps) == pytest.approx(mean, abs=0.5)
        assert chances.min() > 0 and chances[0] < chances[len(chances) // 2]
    assert prior.alignment == pytest.approx(-0.89, abs=0.01)
