"""Live batches are made by the public parts that an experiment can test."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from gwres.data import pipeline
from gwres.data.pipeline import Bank, Injection, recorded
from gwres.data.settings import Live
from gwres.layers.whiten import FREQUENCIES, gain, whiten
from gwres.simulate import dataset, waveforms
from gwres.simulate.population import population
from gwres.simulate.waveforms import place
from tests import clock

# Takes batches while its clock goes back by a day, and leaves some that were made. And
# again: TensorFlow's own tuning waited about once in six times.
SET_BACK = """
import sys
from pathlib import Path

import numpy as np

from gwres.data import pipeline
from gwres.data.settings import Live

windows, labels = np.zeros((64, 2048, 3), np.float16), np.arange(64) % 2
made = pipeline.packed(windows, labels, Live(batch=2), seed=0, steps=1000)
for day in range(1, 26):
    batches = iter(made)
    for step in range(30):
        next(batches)
        if step == 10:
            Path(sys.argv[1]).write_text(f"-{day}d")
    del batches
"""


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


@pytest.mark.usefixtures("serial")
def test_live_windows_lack_detectors_as_the_population_does(curve):
    """Signals are as loud in those left, and mergers fill the middle second."""
    field = population("field")
    loaded = Bank.load(waveforms.bank(field, 24, seed=1))
    settings = Live(batch=400, loud=1.0, drop=0.0)
    windows, labels = next(iter(pipeline.live(loaded, field, curve, settings, 5, 1)))
    windows = np.asarray(windows)
    there = windows.any(axis=1)
    assert (there[:200] == there[200:]).all() and there.any(axis=1).all()
    np.testing.assert_allclose(1 - there.mean(axis=0), field.missing, atol=0.09)
    signal = windows[:200] - windows[200:]
    norms = np.sqrt((signal**2).sum(axis=(1, 2)))
    # SNRs of 4 and more, less what of a light binary lies before its window.
    assert 3.9 < np.median(norms) < 5.6 and norms.max() < 101
    assert (norms < 3.8).mean() < 0.25
    alone = there[:200].sum(axis=1) == 1
    assert alone.any() and np.median(norms[alone]) > 3.7
    peak = np.abs(signal).max(axis=2).argmax(axis=1) / 1024
    assert 0.45 < np.quantile(peak, 0.02) < 0.6 and 1.4 < np.quantile(peak, 0.98) < 1.55
    dropped = next(
        iter(
            pipeline.live(
                loaded, field, curve, Live(batch=400, loud=1.0, drop=0.5), 5, 1
            )
        )
    )[0]
    fewer = np.asarray(dropped).any(axis=1)
    assert not (fewer & ~there).any() and fewer.sum() < 0.7 * there.sum()
    assert fewer.any(axis=1).all()


@pytest.mark.usefixtures("serial")
@pytest.mark.parametrize("merger", [0.5, 1.0, 1.5])
def test_live_injection_is_the_raw_path_wherever_the_merger_is(merger, curve):
    """Light and heavy binaries, against strain through the whitening layer."""
    field = replace(population("field"), merger_s=(merger, merger + 1e-6))
    field = replace(field, name="here", missing=(0.0, 0.0, 0.0))
    made = replace(population("field"), missing=(0.0, 0.0, 0.0))
    folder = waveforms.bank(made, 24, seed=1)
    rows = pd.read_parquet(folder / "parameters.parquet")
    powers = np.load(folder / "power.npy")
    placed = place(field, powers, np.random.default_rng(3))
    chosen = np.array(np.load(folder / "spectra.npy")).view(np.float32)
    chosen = chosen.reshape(24, 2, -1, 2)
    injection = Injection.through(curve, made.segment)
    found = np.asarray(injection.signal(chosen, *recorded(placed, made.segment)))
    strain = [
        dataset.record(
            row, waveforms.polarisations(row, made.approximant, 1024.0, made.held_s)
        )[0]
        for row in rows.assign(**placed).to_dict("records")
    ]
    raw = np.asarray(whiten(np.stack(strain), gain(curve, FREQUENCIES)))
    found, raw = found.reshape(24, -1), raw.reshape(24, -1)
    norms = np.linalg.norm(found, axis=1), np.linalg.norm(raw, axis=1)
    match = (found * raw).sum(axis=1) / (norms[0] * norms[1])
    assert match.min() > 0.985
    np.testing.assert_allclose(norms[0] / norms[1], 1, atol=0.03)


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


@clock.needed
def test_batches_do_not_wait_for_a_clock_that_is_set_back(tmp_path):
    """TensorFlow's own tuning of them did, until the clock was where it had been."""
    file = tmp_path / "clock"
    file.write_text("-0d")
    subprocess.run(
        [sys.executable, "-c", SET_BACK, str(file)],
        env=os.environ | clock.settings(file),
        timeout=100,
        check=True,
    )
