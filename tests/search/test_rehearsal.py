"""Simulated noise as a file: what a search of it opens is what was asked for."""

import h5py
import numpy as np
import pytest

from gwres.errors import InputError
from gwres.search import rehearsal
from gwres.search.strain import open_strain


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("rehearsal") / "noise.hdf"
    rehearsal.write(path, 1100, seed=2, busy=0.0)
    return path


def test_the_layout_is_that_of_the_challenge(written):
    with h5py.File(written) as file:
        assert set(file) == {"H1", "L1"}
        for name in file:
            second = str(rehearsal.GPS + 1028)
            assert list(file[name]) == [str(rehearsal.GPS), second]
            assert file[name][second].shape == (76 * 2048,)
            held = dict(file[name][second].attrs)
            assert held == {"start_time": float(second), "delta_t": 1 / 2048}
    recording = open_strain(written)
    start = rehearsal.GPS
    spans = [(start, start + 1024), (start + 1028, start + 1104)]
    assert recording.spans == {"H1": spans, "L1": spans}


def test_blocks_and_detectors_differ(written):
    with h5py.File(written) as file:
        rows = [
            own[key][: 64 * 2048] for own in (file["H1"], file["L1"]) for key in own
        ]
    spectra = [np.abs(np.fft.rfft(row))[64 * 20 :] for row in rows]
    white = [np.fft.rfft(row)[64 * 20 :] / one for row, one in zip(rows, spectra)]
    for one in range(4):
        for other in range(one):
            share = np.abs((white[one] * white[other].conj()).mean())
            assert share < 4 / np.sqrt(len(white[0]))
    level = [np.median(one[64 * 80 : 64 * 180]) for one in spectra]
    assert abs(np.log(level[0] / level[1])) > 0.01, "each block has a spectrum"
    assert all(1e-24 < one.std() < 1e-18 for one in rows)


def test_the_same_seed_is_the_same_noise(tmp_path):
    files = [tmp_path / f"{one}.hdf" for one in range(4)]
    rehearsal.write(files[0], 8, seed=2)
    rehearsal.write(files[1], 8, seed=2, detectors=("L1", "V1"), gps=5000)
    rehearsal.write(files[2], 8, seed=3)
    rehearsal.write(files[3], 8, seed=2, busy=500.0)
    with h5py.File(files[0]) as a, h5py.File(files[1]) as b, h5py.File(files[2]) as c:
        key = str(rehearsal.GPS)
        # Of a detector, whichever others are written.
        np.testing.assert_array_equal(a["L1"][key], b["L1"]["5000"])
        assert set(b) == {"L1", "V1"}
        assert not np.allclose(a["L1"][key], c["L1"][key], rtol=0.1, atol=0)
        with h5py.File(files[3]) as busy:
            assert np.abs(busy["L1"][key]).max() > np.abs(a["L1"][key]).max()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"seconds": 6}, "seconds must be a multiple of 4, above 0; received 6"),
        ({"seconds": 0}, "received 0"),
        ({"seconds": -4}, "received -4"),
        ({"detectors": ("G1",)}, "detector must be one of H1, L1, V1; received G1"),
    ],
)
def test_what_cannot_be_written(tmp_path, settings, told):
    path = tmp_path / "noise.hdf"
    with pytest.raises(InputError, match=told):
        rehearsal.write(path, **{"seconds": 8, "seed": 0} | settings)
    assert not list(tmp_path.iterdir())
