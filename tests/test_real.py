"""Real G2Net windows, where $GWRES_G2NET names a folder of them."""

import os

import numpy as np
import pytest

from gwres.data import g2net
from gwres.data.pack import whitened

FOLDER = os.environ.get("GWRES_G2NET", "")

pytestmark = pytest.mark.skipif(
    not os.path.isdir(FOLDER), reason="GWRES_G2NET names no folder of G2Net windows"
)


def deviations(asd):
    """Standard deviation in each detector of the whitened label-0 windows."""
    folder = g2net.folder(FOLDER)
    names = folder.table.loc[folder.table["label"] == 0, "id"]
    chunks = whitened((folder.window(name)[None] for name in names), asd)
    inside = np.concatenate(list(chunks))[:, 128:-128].astype(float)
    return inside.std(axis=(0, 1))


def test_simulated_noise_whitens_real_noise(fitted):
    """The PSD of simulated noise is that of the real windows, in every detector."""
    found = deviations(fitted)
    assert (np.abs(found - 1) < 0.1).all(), found
    # Shown to fail: another detector's curve, or a PSD 25% off, is told apart.
    assert (np.abs(deviations(fitted[::-1]) - 1) > 0.1).any()
    assert (np.abs(deviations(fitted * 1.25**0.5) - 1) > 0.1).all()
