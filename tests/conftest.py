"""What several tests share: a cache of their own, noise curves, a small bank."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("GWPY_RCPARAMS", "false")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Threads of linear algebra wait in loops for cores that the other workers use.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from functools import partial

import keras
import numpy as np
import pytest

from gwres.layers.whiten import FREQUENCIES, fit_asd
from gwres.matched.design import filters
from gwres.models import pretrained
from gwres.models.classifier import classifier, network
from gwres.models.resnet import ResNet
from gwres.search import scan
from gwres.simulate import dataset, waveforms
from gwres.simulate import noise as noises
from gwres.simulate.noise import HERTZ, measured, noise
from gwres.simulate.noise import asd as curve_asd
from gwres.simulate.population import population
from gwres.strain import DETECTORS, SCALE

UNSEEN = 250  # the first of `windows` that `fitted` has not seen


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory):
    """Keep every cache of the tests, and of what they start, in a temporary folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GWRES_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module", autouse=True)
def _draws():
    """What a file's tests draw does not depend on the files before it."""
    keras.utils.set_random_seed(0)


@pytest.fixture
def serial(monkeypatch):
    """Jobs run in this process: what they do is the same, and no process starts."""
    for module in (waveforms, dataset, noises):
        monkeypatch.setattr(module, "each", lambda job, jobs, _: map(job, jobs))


@pytest.fixture(scope="session")
def curve():
    """The true ASD at `FREQUENCIES`, (3, 2049), in units of `SCALE`/sqrt(Hz)."""
    return np.stack([curve_asd(name, FREQUENCIES) for name in DETECTORS]) / SCALE


@pytest.fixture(scope="session")
def windows():
    """500 windows of noise, (500, 3, 4096)."""
    return noise(np.random.default_rng(20), 500)


@pytest.fixture(scope="session")
def fitted(windows):
    """The ASD fitted on the first `UNSEEN` of `windows`."""
    return fit_asd(windows[:UNSEEN])


@pytest.fixture(scope="session")
def bank():
    """The folder of a bank of 24 waveforms, made as in production."""
    return waveforms.bank(population("g2net"), 24, seed=1)


@pytest.fixture(scope="session")
def designed(curve):
    """Templates for the front end of that name."""
    return filters(population("g2net"), curve, 200)


@pytest.fixture(scope="session")
def wide(curve):
    """The same for the population `field`."""
    return filters(population("field"), curve, 200)


@pytest.fixture(scope="session")
def real_asd():
    """The median of measured ASDs at `FREQUENCIES`, as `curve` has its unit."""
    median = [
        np.maximum(np.median(measured(name), axis=0), 1e-30) for name in DETECTORS
    ]
    logs = [np.interp(FREQUENCIES, HERTZ, np.log(one)) for one in median]
    return np.exp(np.stack(logs)) / SCALE


@pytest.fixture(scope="session")
def doubting(real_asd):
    """Templates for `field` in noise with glitches."""
    return filters(population("field"), real_asd, 200, consistent=True)


@pytest.fixture(scope="session")
def untrained(doubting, real_asd, tmp_path_factory):
    """The file of a small classifier that says the log Bayes factor."""
    model = classifier(network(ResNet(16, 2), "templates", doubting), real_asd)
    path = tmp_path_factory.mktemp("untrained") / "classifier.keras"
    model.save(path)
    return path


@pytest.fixture
def shipped(untrained, monkeypatch):
    """What ships is that classifier, and a scan makes its templates as quickly."""
    card = pretrained.Card(
        *("untrained", {}, "field", 0, 0.0, (0.0, 0.0, 0.0), 0.0, "", "", []),
        digest="untrained-1",
        noise="detector",
        whole=True,
    )
    monkeypatch.setattr(pretrained, "whole", lambda name: (untrained, card))
    monkeypatch.setattr(scan, "filters", partial(filters, count=200))
