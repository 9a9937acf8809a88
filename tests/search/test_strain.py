"""Files of strain, as they should be and as they come."""

import json
import logging
import os
import shutil
import sys
import tracemalloc
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import h5py
import numpy as np
import pytest
from scipy.signal import welch

from gwres.errors import InputError
from gwres.search import files
from gwres.search.files import event
from gwres.search.strain import HALF_S, ZEROS_S, open_strain
from gwres.strain import DETECTORS, SAMPLE_RATE
from tests.search.recorded import GPS, challenge, frame, gwosc, tone, white

REAL = os.environ.get("GWRES_STRAIN", "")


def cuts(recording):
    """The table of cuts as tuples, times from `GPS` on."""
    table = recording.cuts
    starts, stops = table.start - GPS, table.stop - GPS
    return list(zip(table.detector, starts, stops, table.reason))


def spans(recording, detector):
    return [(start - GPS, stop - GPS) for start, stop in recording.spans[detector]]


@pytest.fixture
def h1(tmp_path):
    return gwosc(tmp_path / "h1.hdf5", "H1", white(1, 8))


@pytest.fixture
def l1(tmp_path):
    return gwosc(tmp_path / "l1.hdf5", "L1", white(2, 8))


def test_detectors_are_rows_and_a_missing_one_is_zeros(h1, l1):
    recording = open_strain([l1, h1])
    assert recording.detectors == ("H1", "L1")
    assert (recording.start, recording.stop) == (GPS, GPS + 8)
    assert spans(recording, "H1") == spans(recording, "L1") == [(0, 8)]
    assert recording.cuts.empty
    strain, good = recording.read(GPS, GPS + 8)
    assert strain.shape == good.shape == (3, 8 * SAMPLE_RATE)
    assert strain.dtype == float and good.dtype == bool
    assert good[:2].all() and not good[2].any() and not strain[2].any()
    assert abs(np.corrcoef(strain[:2])[0, 1]) < 0.05
    with pytest.raises(AttributeError):
        recording.start = 0.0


def test_three_detectors_aligned_by_gps(tmp_path):
    files = [
        gwosc(tmp_path / f"{one}.h5", one, tone(GPS + late, 6, 4096), GPS + late)
        for one, late in zip(DETECTORS, (0, 1, 3))
    ]
    recording = open_strain(files)
    assert (recording.start, recording.stop) == (GPS, GPS + 9)
    strain, good = recording.read(GPS + 3, GPS + 6)
    assert good.all()
    inside = slice(SAMPLE_RATE, -SAMPLE_RATE)
    assert np.allclose(strain[0, inside], strain[1:, inside], rtol=0, atol=1e-26)
    assert ("V1", 0, 3, "no file") in cuts(recording)
    assert ("H1", 6, 9, "no file") in cuts(recording)


@pytest.mark.parametrize("rate", [2048, 4096, 8192, 16384])
def test_what_is_in_the_band_is_kept_at_every_rate(tmp_path, rate):
    path = gwosc(tmp_path / "h1.hdf5", "H1", tone(GPS, 4, rate), rate=rate)
    strain, _ = open_strain(path).read(GPS, GPS + 4)
    error = strain[0] - tone(GPS, 4, SAMPLE_RATE)
    inside = slice(round(HALF_S * SAMPLE_RATE), -round(HALF_S * SAMPLE_RATE))
    assert np.abs(error[inside]).max() < 3e-5 * 1e-21
    # At the ends the reflection is an honest guess, and no more.
    assert np.abs(error).max() < 1e-21


@pytest.mark.parametrize("rate", [4096, 16384])
def test_the_ends_keep_the_slope_of_what_is_slow(tmp_path, rate):
    """Real strain is loudest at 10 Hz, where a jump at the end would ring."""
    path = gwosc(tmp_path / "h1.h5", "H1", tone(GPS, 2, rate, (10.0,)), rate=rate)
    strain, _ = open_strain(path).read(GPS, GPS + 2)
    assert np.abs(strain[0] - tone(GPS, 2, SAMPLE_RATE, (10.0,))).max() < 1e-3 * 1e-21


@pytest.mark.parametrize("rate", [4096, 16384])
@pytest.mark.parametrize("hertz", [1030.0, 1100.0, 1600.0, 2040.0])
def test_what_is_above_the_grids_nyquist_is_not_folded_in(tmp_path, rate, hertz):
    path = gwosc(tmp_path / "h1.h5", "H1", tone(GPS, 2, rate, (hertz,)), rate=rate)
    strain, _ = open_strain(path).read(GPS, GPS + 2)
    assert np.abs(strain[0, SAMPLE_RATE // 4 : -SAMPLE_RATE // 4]).max() < 2e-5 * 1e-21


@pytest.mark.parametrize("rate", [4096, 16384])
def test_read_in_pieces_as_in_one(tmp_path, rate):
    recording = open_strain(
        gwosc(tmp_path / "1.h5", "H1", white(3, 8, rate), rate=rate)
    )
    whole, _ = recording.read(GPS, GPS + 8)
    edges = GPS + np.array([0, 1, 1.5, 4, 4 + 3 / SAMPLE_RATE, 7, 8])
    parts = [recording.read(*ends)[0] for ends in zip(edges, edges[1:])]
    assert np.array_equal(np.hstack(parts), whole)


@pytest.mark.parametrize("rate", [4096, 16384])
@pytest.mark.parametrize("late", [0.0, 0.3 / 4096])
def test_files_that_go_on_have_no_edge_between_them(tmp_path, rate, late):
    values = white(4, 9, rate)
    gps = GPS + late
    one = gwosc(tmp_path / "one.hdf5", "H1", values, gps, rate)
    whole, _ = open_strain(one).read(GPS + 1, GPS + 8)
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(3):
        part = values[3 * number * rate : 3 * (number + 1) * rate]
        # The first file by name is the last in time.
        gwosc(folder / f"{9 - number}.hdf5", "H1", part, gps + 3 * number, rate)
    recording = open_strain(folder)
    assert len(recording.spans["H1"]) == 1
    strain, good = recording.read(GPS + 1, GPS + 8)
    assert good[0].all()
    assert np.abs(strain - whole).max() < 1e-6 * 1e-21
    # It fails where files are taken by themselves.
    alone, _ = open_strain(folder / "8.hdf5").read(GPS + 4, GPS + 5)
    assert np.abs(alone[0] - whole[0, 3 * SAMPLE_RATE : 4 * SAMPLE_RATE]).max() < 1e-27
    first = open_strain(folder / "8.hdf5").start
    edge, _ = open_strain(folder / "8.hdf5").read(first, first + 1)
    begin = round((first - GPS - 1) * SAMPLE_RATE)
    assert np.abs(edge[0, :40] - whole[0, begin : begin + 40]).max() > 1e-3 * 1e-21


@pytest.mark.parametrize("rate", [2048, 4096, 16384])
@pytest.mark.parametrize("late", [0.25, 0.5, 0.77])
def test_a_start_between_samples_is_moved_onto_the_grid(tmp_path, rate, late):
    gps = GPS + late / rate
    path = gwosc(tmp_path / "h1.hdf5", "H1", tone(gps, 4, rate), gps, rate)
    recording = open_strain(path)
    assert recording.start == GPS + 1 / SAMPLE_RATE
    strain, good = recording.read(GPS + 1, GPS + 3)
    assert good[0].all()
    exact = tone(GPS + 1, 2, SAMPLE_RATE)
    # GPS in double precision: 0.12 microseconds of 507.7 Hz.
    assert np.abs(strain[0] - exact).max() < 5e-4 * 1e-21
    nearest = tone(GPS + 1 + 0.23 / rate, 2, SAMPLE_RATE)
    assert np.abs(nearest - exact).max() > 1e-2 * 1e-21


def test_one_detector_at_16_and_the_other_at_4_khz(tmp_path):
    files = [
        gwosc(tmp_path / "h1.hdf5", "H1", tone(GPS, 4, 16384), rate=16384),
        gwosc(tmp_path / "l1.hdf5", "L1", tone(GPS, 4, 4096), rate=4096),
    ]
    strain, good = open_strain(files).read(GPS + 1, GPS + 3)
    assert good[:2].all()
    assert np.abs(strain[0] - strain[1]).max() < 5e-5 * 1e-21


def test_not_a_number_is_cut_in_its_detector_alone(tmp_path, l1):
    values = white(1, 8)
    values[4096 * 3 + 100 : 4096 * 3 + 110] = np.nan
    values[4096 * 5] = np.inf
    path = gwosc(tmp_path / "h1.hdf5", "H1", values)
    recording = open_strain([path, l1])
    first, second = cuts(recording)
    assert first[0] == second[0] == "H1"
    assert first[3] == second[3] == "not finite"
    assert first[1:3] == (3 + 50 / SAMPLE_RATE, 3 + 55 / SAMPLE_RATE)
    assert second[1:3] == (5, 5 + 1 / SAMPLE_RATE)
    assert len(spans(recording, "H1")) == 3
    assert spans(recording, "L1") == [(0, 8)]
    strain, good = recording.read(GPS, GPS + 8)
    assert np.isfinite(strain).all()
    assert (~good[0]).sum() == 6 and not strain[0, ~good[0]].any()
    # What the filter does not reach from there is as ever.
    clean, _ = open_strain(gwosc(tmp_path / "c.hdf5", "H1", white(1, 8))).read(
        GPS, GPS + 8
    )
    hole = 3 * SAMPLE_RATE + 50
    differs = np.flatnonzero(np.abs(strain[0] - clean[0]) > 1e-27)
    near = np.minimum(np.abs(differs - hole), np.abs(differs - 5 * SAMPLE_RATE))
    assert 0 < near.max() <= HALF_S * SAMPLE_RATE + 6


def test_a_single_sample_between_those_of_the_grid_is_a_cut(tmp_path):
    values = white(1, 4)
    values[4096 + 1] = np.nan
    recording = open_strain(gwosc(tmp_path / "h1.hdf5", "H1", values))
    assert cuts(recording) == [("H1", 1, 1 + 1 / SAMPLE_RATE, "not finite")]


def test_zeros_are_cut_where_they_last(tmp_path):
    values = white(1, 8)
    values[4096 * 2 : 4096 * 3] = 0
    values[4096 * 5 : 4096 * 5 + round(ZEROS_S * 4096) - 1] = 0
    recording = open_strain(gwosc(tmp_path / "h1.hdf5", "H1", values))
    assert cuts(recording) == [("H1", 2, 3, "zeros")]
    assert spans(recording, "H1") == [(0, 2), (3, 8)]


def test_all_zeros(tmp_path, l1):
    path = gwosc(tmp_path / "h1.hdf5", "H1", np.zeros(4096 * 8))
    with pytest.raises(InputError, match=r"all of it is cut \(zeros\).*h1\.hdf5"):
        open_strain(path)
    recording = open_strain([path, l1])
    assert recording.spans["H1"] == [] and spans(recording, "L1") == [(0, 8)]


@pytest.mark.parametrize("bit", range(7))
def test_which_bits_of_quality_cut(tmp_path, bit):
    mask = np.full(8, 127)
    mask[3:5] = 127 - (1 << bit)
    recording = open_strain(gwosc(tmp_path / "h1.hdf5", "H1", white(1, 8), dq=mask))
    reasons = {0: "DATA", 1: "CBC_CAT1", 2: "CBC_CAT2"}
    if bit in reasons:
        assert cuts(recording) == [("H1", 3, 5, reasons[bit])]
        assert spans(recording, "H1") == [(0, 3), (5, 8)]
        strain, good = recording.read(GPS + 2, GPS + 6)
        cut = slice(SAMPLE_RATE, 3 * SAMPLE_RATE)
        assert good[0].sum() == 2 * SAMPLE_RATE
        assert not good[0, cut].any() and not strain[0, cut].any()
    else:
        assert recording.cuts.empty


@pytest.mark.parametrize(
    ("mask", "reasons"),
    [
        (31, []),
        (23, []),  # continuous waves are injected
        (15, []),  # a stochastic background is
        (30, ["NO_CBC_HW_INJ"]),
        (28, ["NO_BURST_HW_INJ", "NO_CBC_HW_INJ"]),
        (27, ["NO_DETCHAR_HW_INJ"]),
    ],
)
def test_an_injection_is_a_bit_that_is_not_set(tmp_path, mask, reasons):
    masks = np.full(4, 31)
    masks[1] = mask
    path = gwosc(tmp_path / "h1.hdf5", "H1", white(1, 4), injections=masks)
    recording = open_strain(path)
    assert sorted(recording.cuts.reason) == reasons
    assert spans(recording, "H1") == ([(0, 1), (2, 4)] if reasons else [(0, 4)])


def test_other_bits_on_demand(tmp_path):
    path = gwosc(tmp_path / "h1.hdf5", "H1", white(1, 4), dq=[127, 95, 127, 126])
    recording = open_strain(path, quality=("BURST_CAT2",))
    assert cuts(recording) == [("H1", 1, 2, "BURST_CAT2")]
    with pytest.raises(InputError, match=r"h1.hdf5: .*CBC_CAT9; it has DATA, CBC_CAT1"):
        open_strain(path, quality=("CBC_CAT9",))


def test_masks_follow_strain_that_starts_between_samples(tmp_path):
    gps = GPS + 0.5 / 4096
    path = gwosc(tmp_path / "h1.hdf5", "H1", white(1, 4), gps, dq=[127, 0, 127, 127])
    for cut in cuts(open_strain(path, quality=("DATA",))):
        assert cut == ("H1", 1, 2, "DATA")


def test_a_gap_between_files(tmp_path, l1):
    files = [
        gwosc(tmp_path / "a.hdf5", "H1", white(1, 2)),
        gwosc(tmp_path / "b.hdf5", "H1", white(1, 3), GPS + 5),
    ]
    recording = open_strain([*files, l1])
    assert spans(recording, "H1") == [(0, 2), (5, 8)]
    assert cuts(recording) == [("H1", 2, 5, "no file")]
    strain, good = recording.read(GPS + 1, GPS + 6)
    assert good[1].all() and good[0].sum() == 2 * SAMPLE_RATE
    assert not strain[0, SAMPLE_RATE : 4 * SAMPLE_RATE].any()
    assert strain[0, : SAMPLE_RATE - 1].all() and strain[0, 4 * SAMPLE_RATE :].all()


def test_one_second(tmp_path):
    recording = open_strain(gwosc(tmp_path / "h1.hdf5", "H1", white(1, 1)))
    strain, good = recording.read(GPS, GPS + 1)
    assert good[0].all() and strain[0].all()


def test_a_stretch_across_the_boundary_of_files_of_two_detectors(tmp_path):
    """The first detector's second file goes on after the second one has ended."""
    files = [
        gwosc(tmp_path / "h0.hdf5", "H1", white(1, 4)),
        gwosc(tmp_path / "h1.hdf5", "H1", white(2, 4), GPS + 4),
        gwosc(tmp_path / "l0.hdf5", "L1", white(3, 4)),
    ]
    recording = open_strain(files)
    _, good = recording.read(GPS + 3, GPS + 4)
    assert good[:2].all()
    _, good = recording.read(GPS + 3.5, GPS + 4.5)
    assert good.sum(axis=1).tolist() == [2048, 1024, 0]


@pytest.mark.parametrize("rate", [1000, 1024, 5000, 4096.5])
def test_a_wrong_rate(tmp_path, rate):
    path = gwosc(tmp_path / "h1.hdf5", "H1", white(1, 4, 1024), rate=rate)
    with pytest.raises(
        InputError, match=rf"h1.hdf5: .*2048 Hz .* received {rate:g} Hz"
    ):
        open_strain(path)


@pytest.mark.parametrize("late", [8, 3600, 1e8])
def test_files_of_other_times(tmp_path, h1, late):
    other = gwosc(tmp_path / "l1.hdf5", "L1", white(2, 8), GPS + late)
    with pytest.raises(InputError) as refused:
        open_strain([h1, other])
    text = str(refused.value)
    assert f"H1 from {GPS} to {GPS + 8} ({h1})" in text
    assert f"L1 from {GPS + late:.0f} to {GPS + late + 8:.0f} ({other})" in text


def test_the_same_time_twice(tmp_path, h1):
    other = gwosc(tmp_path / "again.hdf5", "H1", white(2, 8), GPS + 7)
    with pytest.raises(InputError, match=r"one file .* at a time.*h1.hdf5.*again.hdf5"):
        open_strain([other, h1])
    with pytest.raises(InputError, match="one file of a detector at a time"):
        open_strain([h1, h1])


@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_a_file_cut_short(h1, share):
    whole = h1.read_bytes()
    h1.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match=r"h1.hdf5: .*damaged or cut short"):
        open_strain(h1)


def test_damage_within_a_file(tmp_path):
    """A compressed block that does not decompress."""
    path = gwosc(tmp_path / "h1.hdf5", "H1", white(1, 8))
    with h5py.File(path, "r+") as file:
        values, attributes = (
            file["strain/Strain"][()],
            dict(file["strain/Strain"].attrs),
        )
        del file["strain/Strain"]
        data = file.create_dataset("strain/Strain", data=values, compression="gzip")
        data.attrs.update(attributes)
        offset = data.id.get_chunk_info(0).byte_offset
    raw = bytearray(path.read_bytes())
    raw[offset : offset + 200] = bytes(200)
    path.write_bytes(raw)
    with pytest.raises(InputError, match=r"h1.hdf5: .*damaged or cut short"):
        open_strain(path)


def test_a_file_changed_since(h1):
    recording = open_strain(h1)
    gwosc(h1, "H1", white(1, 4))
    with pytest.raises(InputError, match=r"h1.hdf5: has changed"):
        recording.read(GPS, GPS + 1)


def test_files_of_another_kind(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("no strain")
    with pytest.raises(InputError, match=r"notes.txt: expected HDF5 or a frame"):
        open_strain(text)
    empty = tmp_path / "empty.hdf5"
    empty.touch()
    with pytest.raises(InputError, match=r"empty.hdf5: expected HDF5"):
        open_strain(empty)
    other = tmp_path / "other.hdf5"
    with h5py.File(other, "w") as file:
        file.create_group("weights")
    with pytest.raises(InputError, match=r"other.hdf5: .*found weights"):
        open_strain(other)
    with pytest.raises(InputError, match=r"absent.hdf5: no such file"):
        open_strain(tmp_path / "absent.hdf5")
    with pytest.raises(InputError, match="received none"):
        open_strain([])
    geo = gwosc(tmp_path / "g1.hdf5", "G1", white(1, 4))
    with pytest.raises(InputError, match=r"g1.hdf5: .*H1, L1, V1; received G1"):
        open_strain(geo)
    grid = white(1, 4, SAMPLE_RATE).reshape(4, -1)
    with pytest.raises(InputError, match=r"grid.hdf5: .*received shape \(4, 2048\)"):
        open_strain(challenge(tmp_path / "grid.hdf5", {("H1", GPS): grid}))
    flat = gwosc(tmp_path / "flat.hdf5", "H1", white(1, 4).reshape(4, -1))
    with pytest.raises(InputError, match=r"flat.hdf5: .*2-dimensional"):
        open_strain(flat)


def test_attributes_that_make_no_sense(tmp_path):
    path = challenge(tmp_path / "a.hdf", {("H1", GPS): white(1, 4, SAMPLE_RATE)})
    with h5py.File(path, "r+") as file:
        data = file[f"H1/{GPS}"]
        data.attrs["start_time"] = np.nan
    with pytest.raises(InputError, match=r"a.hdf: expected a GPS start; received nan"):
        open_strain(path)
    with h5py.File(path, "r+") as file:
        file[f"H1/{GPS}"].attrs["delta_t"] = -1 / SAMPLE_RATE
    with pytest.raises(InputError, match=r"a.hdf: .*received -2048 Hz"):
        open_strain(path)
    with h5py.File(path, "r+") as file:
        del file[f"H1/{GPS}"].attrs["delta_t"]
    with pytest.raises(InputError, match=r"a.hdf: could not be read.*delta_t"):
        open_strain(path)
    with h5py.File(path, "r+") as file:
        del file[f"H1/{GPS}"]
        file.create_group(f"H1/{GPS}").attrs.update(start_time=GPS, delta_t=1e-3)
    with pytest.raises(InputError, match=r"a.hdf: could not be read"):
        open_strain(path)


@pytest.mark.parametrize("scale", [1e21, 1e12, 1e-9])
def test_what_is_no_strain(tmp_path, scale):
    path = gwosc(tmp_path / "h1.hdf5", "H1", scale * white(1, 4))
    with pytest.raises(InputError, match=r"h1.hdf5: .*whitened, rescaled or in counts"):
        open_strain(path)


def test_a_folder_with_what_computers_leave_in_it(tmp_path, h1):
    (tmp_path / "._h1.hdf5").write_bytes(b"\0\5\26\7")
    (tmp_path / ".DS_Store").touch()
    (tmp_path / "README").touch()
    assert open_strain(tmp_path).detectors == ("H1",)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: expected files that end in .hdf5"):
        open_strain(tmp_path / "empty")


@pytest.mark.parametrize(
    ("start", "stop"),
    [(-1, 1), (7, 9), (2, 2), (3, 2), (0.3, 1), (np.nan, 1), (0, np.inf)],
)
def test_times_that_cannot_be_read(h1, start, stop):
    with pytest.raises(InputError, match="received"):
        open_strain(h1).read(GPS + start, GPS + stop)


def test_data_of_the_challenge(tmp_path):
    values = {
        (one, GPS): white(n, 4, SAMPLE_RATE) for n, one in enumerate(("H1", "L1"))
    }
    values |= {(one, GPS + 6): white(5, 2, SAMPLE_RATE) for one in ("H1", "L1")}
    recording = open_strain(challenge(tmp_path / "data.hdf", values))
    assert recording.detectors == ("H1", "L1")
    assert spans(recording, "L1") == [(0, 4), (6, 8)]
    strain, _ = recording.read(GPS, GPS + 4)
    assert np.array_equal(strain[1], values["L1", GPS])
    assert ("H1", 4, 6, "no file") in cuts(recording)


@pytest.mark.parametrize(
    "channel",
    ["H1:LOSC-STRAIN", "L1:GWOSC-4KHZ_R1_STRAIN", "V1:GWOSC-16KHZ_R1_STRAIN"],
)
def test_frames(tmp_path, channel):
    values = white(1, 4)
    masks = {channel.replace("STRAIN", "DQMASK"): [127, 125, 127, 127]}
    masks[channel.replace("STRAIN", "INJMASK")] = [23, 23, 23, 30]
    recording = open_strain(frame(tmp_path / "a.gwf", channel, values, masks=masks))
    detector = channel[:2]
    assert recording.detectors == (detector,)
    assert spans(recording, detector) == [(0, 1), (2, 3)]
    assert set(recording.cuts.reason) == {"CBC_CAT1", "NO_CBC_HW_INJ"}
    strain, _ = recording.read(GPS, GPS + 1)
    same = gwosc(tmp_path / "a.hdf5", detector, values)
    assert np.array_equal(strain, open_strain(same).read(GPS, GPS + 1)[0])


def test_channels_of_frames(tmp_path, caplog):
    path = frame(tmp_path / "a.gwf", "H1:GDS-CALIB_STRAIN", white(1, 2))
    with pytest.raises(InputError, match=r"a.gwf: .*it has H1:GDS-CALIB_STRAIN"):
        open_strain(path)
    with pytest.raises(InputError, match=r"a.gwf: expected a channel of H1:NONE, "):
        open_strain(path, channels=("H1:NONE",))
    with caplog.at_level(logging.WARNING):
        recording = open_strain(path, channels=("H1:GDS-CALIB_STRAIN",))
    assert spans(recording, "H1") == [(0, 2)]
    assert "quality is not known" in caplog.text
    other = frame(tmp_path / "k.gwf", "K1:DAC-STRAIN", white(1, 2))
    with pytest.raises(InputError, match=r"k.gwf: .*received K1"):
        open_strain(other, channels=("K1:DAC-STRAIN",))


@pytest.mark.parametrize("share", [0.1, 0.9, None])
def test_a_damaged_frame(tmp_path, share):
    path = frame(tmp_path / "a.gwf", "H1:LOSC-STRAIN", white(1, 4))
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 255
    path.write_bytes(whole if share is None else whole[: int(share * len(whole))])
    with pytest.raises(InputError, match=r"a.gwf: .*damaged or cut short"):
        open_strain(path)


def test_without_a_library_for_frames(tmp_path, monkeypatch):
    path = frame(tmp_path / "a.gwf", "H1:LOSC-STRAIN", white(1, 2))
    monkeypatch.setitem(sys.modules, "lalframe", None)
    with pytest.raises(InputError, match=r"a.gwf: .*pip install lalsuite"):
        open_strain(path)


def test_memory_is_that_of_one_file(tmp_path):
    for number in range(12):
        start = GPS + 64 * number
        gwosc(tmp_path / f"{number:02}.hdf5", "H1", white(number, 64), start)

    def peak(files):
        tracemalloc.start()
        recording = open_strain(files)
        for start in range(int(recording.start), int(recording.stop), 4):
            recording.read(start, start + 4)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    files = sorted(tmp_path.iterdir())
    few, many = peak(files[:3]), peak(files)
    assert many < 1.1 * few


@pytest.fixture
def service(tmp_path, monkeypatch):
    """What GWOSC answers about one event, from this machine."""
    folder = tmp_path / "service"
    answers = folder / "api/v2/event-versions"
    answers.mkdir(parents=True)
    names = {one: f"{one[0]}-{one}_GWOSC_4KHZ_R1-{GPS}-4.hdf5" for one in ("H1", "L1")}
    for seed, (detector, name) in enumerate(names.items()):
        gwosc(folder / name, detector, white(seed, 4))

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=folder)

        def do_GET(self):
            path = self.path.partition("?")[0]
            asked.append(self.path)
            if "/GW503/" in path:
                self.send_response(503)
                self.send_header("Retry-After", "0")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            if path != "/api/v2/event-versions/GW1/strain-files":
                return super().do_GET()
            host = f"http://127.0.0.1:{self.server.server_port}"
            results = [
                {"detector": one, "download_url": f"{host}/{name}"}
                for one, name in names.items()
            ]
            body = {"results": results, "next": None, "num_pages": 1}
            text = json.dumps(body | {"results_count": 2}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *args):
            pass

    asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("GWRES_CACHE", str(tmp_path / "cache"))
    yield f"http://127.0.0.1:{server.server_port}", asked, folder
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_event_by_its_name(service):
    host, asked, folder = service
    files = event("GW1", host=host)
    assert [path.name[:4] for path in files] == ["H-H1", "L-L1"]
    assert files[0].read_bytes() == (folder / files[0].name).read_bytes()
    assert "duration=4096" in asked[0] and "sample-rate=4" in asked[0]
    assert open_strain(files).detectors == ("H1", "L1")
    asked.clear()
    assert event("GW1", host=host) == files
    assert not asked


def test_an_unknown_event(service):
    host, *_ = service
    with pytest.raises(InputError, match=r"event GW2: http://127.* does not have it"):
        event("GW2", host=host)
    with pytest.raises(InputError, match="does not have it"):  # nothing was kept
        event("GW2", host=host)


def test_an_event_whose_file_is_not_there(service):
    host, _, folder = service
    next(folder.glob("L-*")).unlink()
    with pytest.raises(InputError, match="event GW1"):
        event("GW1", host=host)


def test_a_service_that_is_down(service):
    host, asked, _ = service
    with pytest.raises(InputError, match="GW503: http://127.* could not be reached"):
        event("GW503", host=host)
    assert len(asked) > 1  # it was given time


def test_without_internet(tmp_path, monkeypatch):
    monkeypatch.setenv("GWRES_CACHE", str(tmp_path / "cache"))
    with pytest.raises(
        InputError, match="GW1: http://127.0.0.1:9 could not be reached"
    ):
        event("GW1", host="http://127.0.0.1:9")
    assert not list(tmp_path.rglob("*.hdf5"))


@pytest.mark.skipif(
    not os.path.isdir(REAL), reason="GWRES_STRAIN names no folder of GWOSC's files"
)
def test_real_files(tmp_path):
    """GW150914, at 4 kHz and at 16 kHz."""
    four = [
        Path(REAL) / f"{one}_LOSC_4_V2-1126259446-32.hdf5" for one in ("H-H1", "L-L1")
    ]
    fine = Path(REAL) / "H-H1_LOSC_16_V2-1126259446-32.hdf5"
    recording = open_strain(four)
    assert recording.cuts.empty and recording.detectors == ("H1", "L1")
    span = recording.start, recording.stop
    strain, good = recording.read(*span)
    assert good[:2].all()
    other = open_strain([fine, four[1]]).read(*span)[0]
    assert np.array_equal(other[1], strain[1])
    _, power = welch(strain[0], SAMPLE_RATE, nperseg=SAMPLE_RATE, detrend="linear")
    _, apart = welch(
        strain[0] - other[0], SAMPLE_RATE, nperseg=SAMPLE_RATE, detrend="linear"
    )
    assert np.sqrt(apart / power)[20:512].max() < 0.02
    with pytest.raises(InputError, match="one file of a detector at a time"):
        open_strain([fine, *four])
    short = tmp_path / "short.hdf5"
    shutil.copyfile(fine, short)
    os.truncate(short, 2_000_000)
    with pytest.raises(InputError, match=r"short.hdf5.*cut short"):
        open_strain(short)


def test_a_frame_that_the_library_breaks_off_at_is_told(tmp_path, monkeypatch):
    """It takes its process with it, which is not ours."""
    path = frame(tmp_path / "h1.gwf", "H1:GWOSC-4KHZ_R1_STRAIN", white(1, 4))
    monkeypatch.setattr(files, "OPENED", "import os; os.abort()")
    with pytest.raises(InputError, match="h1.gwf: the frame library breaks off; dam"):
        open_strain(path)
