"""Real G2Net windows, where $GWRES_G2NET names a folder of them; real strain beside."""

import os
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.signal import resample_poly
from scipy.stats import ks_2samp

from experiments import noise as looks
from gwres.data import g2net
from gwres.data.pack import whitened
from gwres.matched.score import score
from gwres.simulate.dataset import Source
from gwres.simulate.population import population

FOLDER = os.environ.get("GWRES_G2NET", "")

pytestmark = pytest.mark.skipif(
    not os.path.isdir(FOLDER), reason="GWRES_G2NET names no folder of G2Net windows"
)


def deviations(asd):
    """Standard deviation in each detector of the whitened label-0 windows."""
    folder = g2net.folder(FOLDER)
    names = folder.table.loc[folder.table["label"] == 0, "id"]
    chunks = whitened(((folder.window(name)[None], None) for name in names), asd)
    inside = np.concatenate(list(chunks))[:, 128:-128].astype(float)
    return inside.std(axis=(0, 1))


def test_simulated_noise_whitens_real_noise(fitted):
    """The PSD of simulated noise is that of the real windows, in every detector."""
    found = deviations(fitted)
    assert (np.abs(found - 1) < 0.1).all(), found
    # Shown to fail: another detector's curve, or a PSD 25% off, is told apart.
    assert (np.abs(deviations(fitted[::-1]) - 1) > 0.1).any()
    assert (np.abs(deviations(fitted * 1.25**0.5) - 1) > 0.1).all()


def scores(strain, curve):
    """Coherent evidence of windows, for a signal of `g2net`."""
    return score(strain, curve, population("g2net"), "coherent")


def simulated(drawn, label, curve):
    """Coherent evidence of simulated windows of one label."""
    strain, table = Source(drawn, 5, "real").windows(0, 400)
    return scores(strain[table["target"] == label], curve)


@pytest.mark.parametrize("label", [0, 1])
def test_real_windows_are_not_told_from_simulated_ones(curve, label):
    """By a Kolmogorov-Smirnov test of their evidence: signals and noise alike."""
    folder = g2net.folder(FOLDER)
    names = folder.table.loc[folder.table["label"] == label, "id"]
    real = scores(np.stack([folder.window(name) for name in names]), curve)
    drawn = population("g2net")
    assert ks_2samp(real, simulated(drawn, label, curve)).pvalue > 0.05
    # Signals three times as loud, or of the other label, would be seen.
    louder = replace(drawn, loudness=drawn.loudness.quieter(1 / 3))
    for other in (simulated(louder, 1, curve), simulated(drawn, 1 - label, curve)):
        assert ks_2samp(real, other).pvalue < 0.01


STRAIN = sorted(Path(FOLDER).parent.glob("strain/*_4_*.hdf5")) if FOLDER else []


@pytest.mark.skipif(not STRAIN, reason="no folder strain/ beside the G2Net windows")
def test_real_strain_passes_what_simulated_noise_does():
    """Four quiet stretches of 32 s, two with a loud merger in H1 and L1.

    Both are seen above 6 sigma, and no other second is; band power is as in simulated
    stretches.
    """
    loud, power = {}, []
    for path in STRAIN:
        with h5py.File(path) as file:
            strain = resample_poly(file["strain/Strain"][:], 1, 2)
        loud[path.name] = np.flatnonzero(looks.exceeding(strain))
        power.append(looks.band_power(strain))
    # The first second is cut off: GW150914 comes 16.4 s after the start.
    for name, seconds in loud.items():
        assert seconds.tolist() == ([15] if "1126259446" in name else []), name
    found = np.quantile(np.concatenate(power), [0.05, 0.95])
    np.testing.assert_allclose(found, [0.93, 1.09], rtol=0.1)
