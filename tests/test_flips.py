"""A bit flipped in what is stored never changes a number unseen; see `flips`."""

import os

import mlflow
import numpy as np
import pytest

from tests import flips

# Those that are read in a moment. `python -m tests.flips` does all.
QUICK = (flips.bank, flips.filters, flips.levels, flips.parts, flips.submission)
QUICK += (flips.shared, flips.stretch, flips.tables, flips.described, flips.weights)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder to work in, with a cache of its own."""
    before = mlflow.get_tracking_uri()
    monkeypatch.setenv("GWRES_CACHE", os.environ["GWRES_CACHE"])
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    mlflow.set_tracking_uri(before)


@pytest.mark.usefixtures("serial")
@pytest.mark.parametrize("kind", QUICK, ids=lambda kind: kind.__name__)
def test_no_flipped_bit_gives_other_numbers(kind, elsewhere):
    flipped, rng = flips.Flipped(kind, elsewhere), np.random.default_rng(1)
    for _ in range(3):
        became, where = flipped.flip(rng)
        assert became != flips.OTHER, where
