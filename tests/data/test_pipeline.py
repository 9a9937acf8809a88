"""Live batches are made by the public parts that an experiment can test."""

import numpy as np
import pytest
import tensorflow as tf

from gwres.data import pipeline
from gwres.data.pipeline import Bank, Injection, recorded
from gwres.data.settings import Live
from gwres.simulate.population import population
from gwres.simulate.waveforms import place


@pytest.fixture(scope="module")
def spectra(bank):
    return np.load(bank / "spectra.npy", mmap_mode="r")


@pytest.fixture(scope="module")
def powers(bank):
    return np.load(bank / "power.npy")


def test_a_batch_is_noise_and_the_same_noise_with_signals(bank, spectra, powers, curve):
    """Made again by hand of `Injection` and `recorded`, with the batch's own draws."""
    config, drawn = Live(batch=8, loud=2.0, ease=0.5, drop=0.0), population("g2net")
    batches = pipeline.live(Bank.load(bank), drawn, curve, config, seed=5, steps=4)
    windows, labels = next(iter(batches))
    np.testing.assert_array_equal(labels[:, 0], [1] * 4 + [0] * 4)
    rng = np.random.default_rng([5, 0])
    key = rng.integers(2**31, size=2, dtype=np.int32)
    index = rng.integers(len(spectra), size=4)
    response, arrival = recorded(
        place(drawn, powers[index], rng), drawn.segment, factor=2.0
    )
    injection = Injection.through(curve, population("g2net").segment)
    normals = tf.random.stateless_normal((4, *injection.shape), key)
    noise = np.asarray(injection.noise(normals))
    chosen = np.array(spectra[index]).view(np.float32).reshape(4, 2, -1, 2)
    signal = np.asarray(injection.signal(chosen, response, arrival))
    np.testing.assert_allclose(windows[4:], noise, atol=1e-4)
    # The resident bank has half precision.
    loudest = np.abs(signal).max()
    np.testing.assert_allclose(windows[:4], noise + signal, atol=2e-3 * loudest + 1e-4)
    assert loudest > 0.5 and 0.9 < noise[:, 500:1500].std() < 1.05


def test_a_louder_signal_is_the_same_signal(spectra, powers, curve):
    extrinsic = place(population("g2net"), powers[:3], np.random.default_rng(1))
    injection = Injection.through(curve, population("g2net").segment)
    chosen = np.array(spectra[:3]).view(np.float32).reshape(3, 2, -1, 2)
    one, three = (
        np.asarray(
            injection.signal(
                chosen, *recorded(extrinsic, population("g2net").segment, factor)
            )
        )
        for factor in (1.0, 3.0)
    )
    np.testing.assert_allclose(three, 3 * one, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("count", [1, 3])
def test_batches_do_not_depend_on_the_cores(bank, curve, monkeypatch, count):
    """Nor on where a training that was stopped goes on."""
    monkeypatch.setenv("GWRES_CORES", str(count))
    loaded, drawn = Bank.load(bank), population("g2net")
    config = Live(batch=8, loud=1.0)

    def batches(first):
        made = pipeline.live(loaded, drawn, curve, config, 5, 4, first)
        return [np.asarray(windows) for windows, _ in made]

    whole, late = batches(0), batches(2)
    assert len(whole) == 4 and len(late) == 2
    for one, again in zip(whole[2:], late):
        np.testing.assert_array_equal(one, again)
