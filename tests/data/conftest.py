import shutil

import numpy as np
import pytest

from gwres.simulate import dataset
from gwres.simulate.population import POPULATIONS


@pytest.fixture(scope="session")
def simulated(tmp_path_factory):
    """A simulated G2Net folder: 60 training and 4 test windows."""
    folder = tmp_path_factory.mktemp("g2net") / "set"
    dataset.write(folder, POPULATIONS["volumetric"], 60, 4, seed=3)
    return folder


@pytest.fixture
def copy(simulated, tmp_path):
    """One's own copy of it, to spoil."""
    return shutil.copytree(simulated, tmp_path / "copy")


@pytest.fixture
def window():
    """A plausible window of strain."""
    return np.random.default_rng(0).normal(scale=1e-21, size=(3, 4096))
