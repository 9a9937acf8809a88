"""Real G2Net windows, where $GWRES_G2NET names a folder of them."""

import os
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ks_2samp

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
