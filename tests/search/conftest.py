"""What a search needs: a network that needs no training, and strain with a signal."""

from functools import partial

import pytest

from gwres.matched.design import filters
from gwres.search import injections, rehearsal, scan, triggers, windows
from gwres.search.strain import open_strain
from gwres.serve.scorer import Scorer
from gwres.simulate.population import population
from tests.search.recorded import GPS

FIELD = population("field")
# The signal drawn with this seed is almost as loud in L1 as in H1.
SEED = 18
MERGER = GPS + 86.3


def signal(recording, time, network_snr, seed=SEED):
    """The table of one signal at a time, as loud as it is asked to be."""
    around = [(time - 6, time + 6)]
    row = injections.draw(recording, {"H1": around, "L1": around}, FIELD, 1, seed)
    factor = network_snr / row["network_snr"]
    for name in ("snr_H1", "snr_L1", "snr_V1", "network_snr"):
        row[name] *= factor
    return row.assign(luminosity_distance=row["luminosity_distance"] / factor)


def added(recording, table, seed=SEED):
    return injections.Injected(recording, table, FIELD, seed)


@pytest.fixture(scope="session")
def judge(untrained):
    scorer = Scorer({"classifier": str(untrained)})
    return scan.Judge(scorer, "untrained", "untrained-1", FIELD)


@pytest.fixture(scope="session")
def few(doubting):
    """A scan takes its templates from as few waveforms as `doubting`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "filters", partial(filters, count=200))
        yield


@pytest.fixture(scope="session")
def quiet(tmp_path_factory):
    """Two detectors' noise without glitches, 160 s."""
    path = tmp_path_factory.mktemp("quiet") / "quiet.hdf"
    rehearsal.write(path, 160, seed=1, busy=0.0)
    return open_strain(path)


@pytest.fixture(scope="session")
def merger(quiet):
    """The table of a loud signal in `quiet`."""
    return signal(quiet, MERGER, 20.0)


@pytest.fixture(scope="session")
def loud(quiet, merger, tmp_path_factory):
    """The whitened `quiet` with that signal."""
    folder = tmp_path_factory.mktemp("loud")
    return windows.whiten(added(quiet, merger), folder)


@pytest.fixture(scope="session")
def maps(loud, doubting):
    return triggers.measure(loud, doubting, loud.path.parent)
