"""Simulated windows hold the signals they say; data sets look like G2Net's."""

import hashlib
import os
import shutil
import signal

import numpy as np
import pandas as pd
import pytest

from gwres import cache
from gwres.errors import InputError
from gwres.simulate import dataset, waveforms
from gwres.simulate import noise as noises
from gwres.simulate.dataset import COLUMNS, SNRS, Source
from gwres.simulate.detectors import patterns
from gwres.simulate.noise import inner, noise
from gwres.simulate.population import PARAMETERS, TAPER_S, population
from tests.binaries import HEAVY, LIGHT, bilby_record, record
from tests.contract import close, fresh

G2NET, FIELD = population("g2net"), population("field")
TRAIN, TEST, SEED = 14, 6, 5


@pytest.mark.parametrize("binary", [HEAVY, LIGHT], ids=["heavy", "light"])
def test_strain_is_what_bilby_injects(binary):
    strain, _ = record(binary)
    expected, _ = bilby_record(binary)
    close(strain / 1e-21, expected / 1e-21, rtol=1e-3)


@pytest.mark.parametrize("binary", [HEAVY, LIGHT], ids=["heavy", "light"])
def test_optimal_snr_is_bilbys(binary):
    truth = record(binary)[1]
    expected = bilby_record(binary)[1]
    close([truth[name] for name in SNRS], expected, rtol=2e-3)
    assert truth["network_snr"] == pytest.approx(np.sqrt((expected**2).sum()), rel=2e-3)


@pytest.mark.parametrize(
    "change",
    [
        {"luminosity_distance": 804.0},
        {"ra": 1.21},
        {"dec": 0.9},
        {"psi": 0.51},
        {"phase": 0.72},
        {"merger_time": 1.6501},
        {"chirp_mass": 30.05},
        {"a_1": 0.31},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_binary_is_seen(change):
    expected, _ = bilby_record(HEAVY)
    with pytest.raises(AssertionError):
        close(record(HEAVY | change)[0] / 1e-21, expected / 1e-21, rtol=1e-3)


@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_a_wrong_snr_is_seen(factor):
    found = np.array([record(HEAVY)[1][name] for name in SNRS])
    with pytest.raises(AssertionError):
        close(found * factor, bilby_record(HEAVY)[1], rtol=2e-3)


def test_snr_falls_with_distance_and_doubles_nothing():
    near, far = (
        record(HEAVY | {"luminosity_distance": mpc})[1] for mpc in (400.0, 1600.0)
    )
    assert near["network_snr"] == pytest.approx(4 * far["network_snr"])


def test_a_window_is_a_function_of_its_source_and_place():
    source = Source(G2NET, 1, "train")
    strain, table = source.windows(0, 6)
    alone, row = source.windows(4, 5)
    np.testing.assert_array_equal(alone[0], strain[4])
    pd.testing.assert_frame_equal(
        row, table.iloc[4:5].reset_index(drop=True), check_dtype=False
    )
    for other in Source(G2NET, 2, "train"), Source(G2NET, 1, "holdout"):
        assert (other.windows(4, 5)[0] != alone).all()
        assert other.id(4) != source.id(4)


def test_a_window_is_its_noise_and_its_signal():
    """Signals are where the label is 1, and their truth makes them again."""
    strain, table = Source(G2NET, 3, "train").windows(0, 12)
    assert strain.shape == (12, 3, 4096) and strain.dtype == np.float64
    assert np.isfinite(strain).all()
    assert set(table["target"]) == {0, 1}
    signals = table[table["target"] == 1]
    assert table[table["target"] == 0][[*PARAMETERS, *SNRS]].isna().all(axis=None)
    assert signals.notna().all(axis=None)
    for place, row in signals.iterrows():
        parameters = {name: row[name] for name in PARAMETERS}
        injected, truth = record(parameters)
        assert truth["network_snr"] == pytest.approx(row["network_snr"])
        # Without its signal the window is the noise that was drawn first.
        quiet = strain[place] - injected
        stream = hashlib.sha256(f"train/{place}".encode()).digest()
        drawn = noise(np.random.default_rng([3, *stream]), 1)[0]
        close(quiet / 1e-21, drawn / 1e-21, rtol=1e-9)


def test_half_the_windows_hold_a_signal(monkeypatch):
    nothing = np.zeros((3, 4096)), {}
    monkeypatch.setattr(dataset, "signal", lambda *drawn: nothing)
    monkeypatch.setattr(noises, "noise", lambda rng, count: np.zeros((1, 3, 4096)))
    targets = Source(G2NET, 3, "train").windows(0, 2000)[1]["target"]
    assert targets.mean() == pytest.approx(0.5, abs=0.04)


def test_a_missing_detector_is_a_row_of_zeros_and_counts_for_nothing():
    """In windows with a signal and without, as often as the population says."""
    strain, table = Source(FIELD, 3, "train").windows(0, 150)
    there = strain.any(axis=2)
    assert there.any(axis=1).all()
    missing = 1 - there.mean(axis=0)
    # One of three is always there, so that all are a little less often missing.
    np.testing.assert_allclose(missing, FIELD.missing, atol=0.1)
    loud = (table["target"] == 1).to_numpy()
    for rows in (loud, ~loud):
        assert 0.1 < 1 - there[rows, 2].mean() < 0.5
    snrs = table.loc[loud, list(SNRS)].to_numpy()
    np.testing.assert_array_equal(snrs > 0, there[loud])
    network = table.loc[loud, "network_snr"]
    assert 3.99 < network.min() and network.max() < 101
    np.testing.assert_allclose(np.sqrt((snrs**2).sum(axis=1)), network)


def lightest():
    """A binary of 10 solar masses and mass ratio 1/10: it takes a minute from 20 Hz."""
    share = 0.1 / 1.1
    chirp_mass = 10 * (share * (1 - share)) ** 0.6
    return LIGHT | {"chirp_mass": chirp_mass, "mass_ratio": 0.1, "tilt_1": 0.3}


@pytest.mark.parametrize("merger", FIELD.merger_s)
def test_a_signal_is_cut_where_no_window_sees_it(merger, monkeypatch):
    truth = lightest() | {"merger_time": merger}
    both = waveforms.polarisations(truth, FIELD.approximant, 1024.0, FIELD.held_s)
    strain, snrs = dataset.record(truth, both)
    wrapped = waveforms.polarisations(truth, FIELD.approximant, 1024.0)
    wrong, _ = dataset.record(truth, wrapped)
    # With so fine a step nothing wraps.
    monkeypatch.setattr(waveforms, "STEP_HZ", 1 / 128)
    whole = waveforms.polarisations(truth, FIELD.approximant, 1024.0)
    expected, more = dataset.record(truth, whole)
    close(strain / 1e-21, expected / 1e-21, rtol=0.03)
    with pytest.raises(AssertionError):
        close(wrong / 1e-21, expected / 1e-21, rtol=0.03)
    assert (snrs < 0.8 * more).all()


def test_the_snr_of_a_cut_signal_is_that_of_its_last_part(monkeypatch):
    truth = lightest()
    both = waveforms.polarisations(truth, FIELD.approximant, 1024.0, FIELD.held_s)
    _, snrs = dataset.record(truth, both)
    monkeypatch.setattr(waveforms, "STEP_HZ", 1 / 128)
    whole = waveforms.polarisations(truth, FIELD.approximant, 1024.0)
    frequencies = np.arange(whole.shape[1]) / 128

    def within(seconds):
        """SNRs of what is so long before the merger."""
        series = np.fft.irfft(whole)
        series[:, 1024 : -int(seconds * 2048)] = 0
        part = np.fft.rfft(series)
        response = patterns(*(np.array([truth[k]]) for k in ("ra", "dec", "psi")))[0]
        response = response @ part * waveforms.REFERENCE_MPC / 800
        return np.sqrt(inner(response, response, frequencies))

    held = FIELD.held_s
    assert (within(held) < snrs).all() and (snrs < within(held + TAPER_S)).all()
    close(snrs, within(held + 0.4 * TAPER_S), rtol=0.02)


@pytest.mark.parametrize("seed", [0, 6])
def test_no_two_ids_of_a_full_size_data_set_are_alike(seed):
    """The seeds are two of those for which ten digits of a hash are not unique."""
    train = Source(G2NET, seed, "train")
    test = Source(G2NET, seed, "test")
    ids = {train.id(i) for i in range(560_000)} | {test.id(i) for i in range(226_000)}
    assert len(ids) == 786_000
    assert {len(name) for name in ids} == {10}
    assert len({name[:3] for name in ids}) == 16**3


def test_a_fixed_set_is_the_stream_in_one_file(serial, monkeypatch):
    monkeypatch.setattr(dataset, "CHUNK", 4)
    source = Source(G2NET, 3, "gate")
    folder = dataset.cached_windows(source, 6)
    strain, table = source.windows(0, 6)
    found = np.load(folder / "strain.npy", mmap_mode="r", allow_pickle=False)
    np.testing.assert_array_equal(found, strain.astype(np.float32))
    truth = pd.read_parquet(folder / "truth.parquet")
    pd.testing.assert_frame_equal(truth, table, check_dtype=False)
    assert dataset.cached_windows(source, 6) == folder
    keys = {
        cache.digest(dataset.describe(*made))
        for made in (
            (source, 6),
            (source, 7),
            (Source(G2NET, 4, "gate"), 6),
            (Source(G2NET, 3, "stack"), 6),
            (Source(population("volumetric"), 3, "gate"), 6),
        )
    }
    assert len(keys) == 5


# Writes a data set in chunks of two windows, with workers as in production.
WRITE = f"""
import os, signal, sys
from gwres.simulate import dataset
from gwres.simulate.population import population

def killed(items, total, name):
    for item in items:
        yield item
        os.killpg(0, signal.SIGKILL)

if __name__ == "__main__":
    folder, kill = sys.argv[1:]
    dataset.CHUNK = 2
    if kill == "kill":
        dataset.progress = killed
    dataset.write(folder, population("g2net"), {TRAIN}, {TEST}, {SEED})
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A data set written without interruption."""
    folder = tmp_path_factory.mktemp("data") / "whole"
    fresh(WRITE, folder, "whole")
    return folder


def files(folder):
    """Every file of a data set, hidden ones too: name to bytes."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def resume(folder, monkeypatch):
    monkeypatch.setattr(dataset, "CHUNK", 2)
    dataset.write(folder, G2NET, TRAIN, TEST, SEED)


def test_the_layout_is_kaggles(written):
    labels = pd.read_csv(written / "training_labels.csv", dtype=str)
    sample = pd.read_csv(written / "sample_submission.csv", dtype=str)
    assert list(labels) == list(sample) == ["id", "target"]
    assert len(labels) == TRAIN and set(labels["target"]) == {"0", "1"}
    assert len(sample) == TEST and set(sample["target"]) == {"0.5"}
    for part, ids in ("train", labels["id"]), ("test", sample["id"]):
        paths = {
            written / part / one[0] / one[1] / one[2] / f"{one}.npy" for one in ids
        }
        assert paths == set((written / part).rglob("*.npy"))
        for path in paths:
            window = np.load(path, allow_pickle=False)
            assert window.shape == (3, 4096) and window.dtype == np.float64
            assert not window.flags.f_contiguous
            assert path.stat().st_size == 128 + 3 * 4096 * 8


def test_the_truth_beside_it(written):
    truth = pd.read_parquet(written / "truth.parquet")
    assert tuple(truth) == COLUMNS
    assert list(truth["split"]) == ["train"] * TRAIN + ["test"] * TEST
    labels = pd.read_csv(written / "training_labels.csv", dtype={"id": str})
    train = truth[truth["split"] == "train"]
    assert list(train["id"]) == list(labels["id"])
    assert list(train["target"]) == list(labels["target"])
    for _, row in truth.iterrows():
        known = row[[*PARAMETERS, *SNRS, "network_snr"]].notna()
        assert known.all() if row["target"] else not known.any()
    squares = (truth[list(SNRS)] ** 2).sum(axis=1, min_count=3)
    np.testing.assert_allclose(squares, truth["network_snr"] ** 2)


def test_the_files_are_the_stream(written):
    strain, table = Source(G2NET, SEED, "test").windows(2, 3)
    name = table["id"][0]
    path = written / "test" / name[0] / name[1] / name[2] / f"{name}.npy"
    np.testing.assert_array_equal(np.load(path), strain[0])


def test_killed_and_run_again_it_is_the_same_to_the_byte(
    written, serial, monkeypatch, tmp_path
):
    folder = tmp_path / "killed"
    assert fresh(WRITE, folder, "kill", check=False).returncode == -signal.SIGKILL
    left = files(folder)
    assert "truth.parquet" not in left and "training_labels.csv" not in left
    assert any(name.endswith(".npy") for name in left)
    resume(folder, monkeypatch)
    whole = files(written)
    found = {name: data for name, data in files(folder).items() if name in whole}
    assert found == whole
    shown = [path for path in os.listdir(folder) if not path.startswith(".")]
    assert sorted(shown) == sorted(p for p in os.listdir(written) if p[0] != ".")


def test_only_what_is_missing_is_made_again(written, serial, monkeypatch, tmp_path):
    """A chunk is complete with its truth: a half-written window without is replaced."""
    folder = shutil.copytree(written, tmp_path / "copy")
    lost = folder / ".parts" / "train-0000004.parquet"
    name = pd.read_parquet(lost)["id"][0]
    lost.unlink()
    window = next((folder / "train").rglob(f"{name}.npy"))
    window.write_bytes(window.read_bytes()[:5000])
    made = []
    monkeypatch.setattr(
        dataset, "each", lambda job, jobs, _: map(job, made.extend(jobs) or jobs)
    )
    resume(folder, monkeypatch)
    assert [(source.split, start, stop) for _, source, start, stop in made] == [
        ("train", 4, 6)
    ]
    assert files(folder) == files(written)


@pytest.mark.parametrize(
    "arguments",
    [
        (population("volumetric"), TRAIN, TEST, SEED),
        (G2NET, TRAIN + 1, TEST, SEED),
        (G2NET, TRAIN, TEST + 1, SEED),
        (G2NET, TRAIN, TEST, SEED + 1),
    ],
    ids=["population", "train", "test", "seed"],
)
def test_other_settings_into_the_same_folder_are_refused(written, arguments):
    before = files(written)
    with pytest.raises(InputError, match="holds another simulation"):
        dataset.write(written, *arguments)
    assert files(written) == before


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("ten years of work")
    with pytest.raises(InputError, match="must be new or empty"):
        dataset.write(tmp_path, G2NET, 2, 2, 1)
    assert list(files(tmp_path)) == ["thesis.tex"]


def test_a_stamp_left_by_a_kill_does_not_block_the_folder(tmp_path, serial):
    (tmp_path / ".simulation.json-abc").mkdir()
    dataset.write(tmp_path, G2NET, 2, 0, 0)
    assert (tmp_path / "training_labels.csv").is_file()
