"""A recording that is whitened once is what whitening each window would give."""

import os
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from gwres import proof
from gwres.layers.whiten import FREQUENCIES, gain
from gwres.layers.whiten import whiten as whiten_windows
from gwres.search import psd, windows
from gwres.search.strain import open_strain
from gwres.strain import SCALE
from tests.search.conftest import MERGER, added
from tests.search.recorded import GPS, challenge, white


def test_a_window_is_what_the_layer_makes_of_its_strain(quiet, merger, loud):
    """Of a signal too: the network sees what it was trained on."""
    own = added(quiet, merger)
    for start in (GPS + 66.0, MERGER - 1.25):
        begin = round(start * 2048) / 2048
        [near] = [one for one in psd.along(own) if one.start <= begin < one.stop]
        fine = np.stack([np.interp(FREQUENCIES, np.arange(513), x) for x in near.asd])
        fine[2] = SCALE  # of the missing detector
        raw, _ = own.read(begin, begin + 2)
        expected = np.asarray(
            whiten_windows(raw[None], gain(fine / SCALE, FREQUENCIES))
        )
        first, used = loud.places(begin, dict.fromkeys(("H1", "L1"), 0.0))
        assert used == ["H1", "L1"]
        shown = loud.window(first, used)
        assert shown.shape == (2048, 3) and not shown[:, 2].any()
        assert not shown[:32].any() and not shown[-32:].any(), "as the layer fades"
        # Away from the ends, whose reflection is no strain.
        apart = (shown - expected[0])[300:-300]
        assert np.abs(apart).max() < 0.2 and apart.std() < 0.02
        assert (shown - expected[0, ::-1])[300:-300].std() > 0.5
    assert np.abs(shown).max() > 4, "the signal is in it"


def test_noise_has_unit_variance(tmp_path):
    both = {(name, GPS): white(one, 100, 2048) for one, name in enumerate(("H1", "V1"))}
    recording = open_strain(challenge(tmp_path / "white.hdf", both))
    stretch = windows.whiten(recording, tmp_path)
    assert stretch.detectors == ("H1", "V1")
    inner = stretch.strain[1024:-1024]
    # Of 512 Hz the band leaves 490.
    expected = np.sqrt(490 / 512)
    np.testing.assert_allclose(inner.std(axis=0), expected, rtol=0.03)
    for part in range(0, len(inner) - 16384, 16384):
        own = inner[part : part + 16384].std(axis=0)
        np.testing.assert_allclose(own, expected, rtol=0.06)
    assert abs(inner.mean()) < 0.01


@pytest.mark.parametrize("left", [0, 1000, 16 * 1024 * 8, 40 * 1024 * 8 + 3])
def test_a_stopped_call_goes_on_to_the_same_bytes(quiet, merger, loud, tmp_path, left):
    path = tmp_path / "white.f4"
    whole = loud.path.read_bytes()
    assert len(whole) == 160 * 1024 * 8
    path.write_bytes(whole[:left])
    # What is there of whole parts is kept, and not made again.
    size = 16 * 1024 * 8
    kept, part = left // size, b"\1" * size
    spoiled = part * kept
    with path.open("r+b") as file:
        file.write(spoiled)
    proof.beside(path).write_bytes(proof.packed(part) * kept)
    windows.whiten(added(quiet, merger), tmp_path)
    assert path.read_bytes() == spoiled + whole[len(spoiled) :]


def test_a_damaged_part_and_what_follows_are_made_again(
    quiet, merger, loud, tmp_path, caplog
):
    path, whole = tmp_path / "white.f4", loud.path.read_bytes()
    data = bytearray(whole)
    data[3 * 16 * 1024 * 8 + 5] ^= 1
    path.write_bytes(data)
    shutil.copy(proof.beside(loud.path), proof.beside(path))
    windows.whiten(added(quiet, merger), tmp_path)
    assert path.read_bytes() == whole
    assert f"{path}: cut short or damaged after part 3" in caplog.text


def test_what_is_done_is_not_done_again(quiet, loud, monkeypatch):
    monkeypatch.setattr(psd, "along", None)
    before = os.stat(loud.path).st_mtime_ns
    again = windows.whiten(quiet, loud.path.parent)
    assert again == loud and os.stat(loud.path).st_mtime_ns == before


def test_windows_lie_where_strain_is_whole(tmp_path):
    """Beside a gap strain has faded, and no window reaches into that."""
    stretches = {
        ("H1", GPS): white(0, 100, 2048),
        ("L1", GPS): white(1, 40, 2048),
        ("L1", GPS + 50): white(2, 50, 2048),
    }
    stretch = windows.whiten(
        open_strain(challenge(tmp_path / "gap.hdf", stretches)), tmp_path
    )
    assert not stretch.series("L1", 40 * 1024, 50 * 1024).any()
    assert stretch.series("H1", 40 * 1024, 50 * 1024).all()
    still = {"H1": 0.0, "L1": 0.0}
    used = partial(stretch.places, offsets=still)
    for start, names in (
        (0.4, []),
        (0.5, ["H1", "L1"]),
        (37.5, ["H1", "L1"]),
        (37.6, ["H1"]),
        (50.4, ["H1"]),
        (50.5, ["H1", "L1"]),
        (97.4, ["H1", "L1"]),
        (97.6, []),
    ):
        assert used(GPS + start)[1] == names, start
    first, moved = stretch.places(GPS + 46.5, {"H1": 0.0, "L1": 20.0})
    assert moved == ["H1", "L1"] and first["H1"] - first["L1"] == 20 * 1024
    beyond = stretch.series("H1", -10, 20)
    assert not beyond[:10].any() and beyond[10:].shape == (20,)
    beyond = stretch.series("L1", 100 * 1024 - 5, 100 * 1024 + 5)
    assert beyond.shape == (10,) and beyond[:5].all() and not beyond[5:].any()


def test_candidates_are_where_all_of_their_windows_are(tmp_path):
    whole = {"H1": [(512, 99 * 1024)], "L1": [(512, 3 * 1024), (5120, 20480)]}
    stretch = windows.Stretch(tmp_path, 1000.0, 100 * 1024, ("H1", "L1"), whole)
    trim = windows.trim_s((0.5, 1.5), 1.0)
    assert trim == 1 + 0.5 + psd.FADE_S
    assert windows.trim_s((1.0, 1.8), 0.4) == pytest.approx(1.4 + 0.2 + psd.FADE_S)
    spans = windows.spans(stretch, trim)
    assert spans == {"H1": [(1002.0, 1097.5)], "L1": [(1006.5, 1018.5)]}
    # All windows around the first and the last time of a candidate are there.
    for name, own in spans.items():
        for start, stop in own:
            for time in (start, stop):
                for middle in (time - 0.45, time + 0.45):
                    offsets = {"H1": 0.0, "L1": 0.0}
                    assert name in stretch.places(middle - 1, offsets)[1]
    assert windows.spans(replace(stretch, whole={"H1": []}), trim) == {"H1": []}


def test_a_score_needs_two_detectors_in_a_slide(loud, judge):
    offsets = {0: {"H1": 0.0, "L1": 0.0}, 1: {"H1": 0.0, "L1": 150.0}}
    wanted = [(0, GPS + 30.0), (1, GPS + 30.0), (1, GPS + 155.0), (0, GPS + 0.2)]
    scored = list(windows.score(judge.scorer, loud, wanted, offsets, (0.5, 1.5)))
    assert [used for _, used in scored] == ["H1 L1", "H1", "H1 L1", ""]
    assert np.isfinite([logit for logit, _ in scored]).tolist() == [True, False] * 2
