"""Waveforms and their bank."""

import numpy as np
import pandas as pd
import pytest
from bilby.gw.conversion import chirp_mass_and_mass_ratio_to_component_masses

from gwres import cache
from gwres.simulate import dataset, waveforms
from gwres.simulate.detectors import patterns
from gwres.simulate.population import INTRINSIC, population
from gwres.strain import WHITENED_RATE
from tests.binaries import HEAVY, LIGHT
from tests.contract import close

G2NET, FIELD = population("g2net"), population("field")


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_bank_holds_what_it_says(bank):
    spectra = np.load(bank / "spectra.npy", allow_pickle=False)
    rows = pd.read_parquet(bank / "parameters.parquet")
    frequencies = waveforms.bank_frequencies(G2NET.segment)
    assert spectra.dtype == np.complex64
    assert spectra.shape == (24, 2, len(frequencies))
    assert np.isfinite(spectra).all() and spectra.any(axis=(1, 2)).all()
    assert tuple(rows) == INTRINSIC and len(rows) == 24
    assert frequencies[0] == 20
    assert frequencies[-1] == pytest.approx(512 - 1 / 3)


def test_each_spectrum_is_its_parameters_waveform(bank):
    """In time, in the bank and straight from the approximant, merger on merger."""
    spectra = np.load(bank / "spectra.npy")
    rows = pd.read_parquet(bank / "parameters.parquet").to_dict("records")
    merger = G2NET.segment.merger_s * WHITENED_RATE
    assert merger == int(merger), "the merger must lie on a sample"
    segment = np.zeros((2, G2NET.segment.samples // 2 + 1), complex)
    part = slice(int(0.5 * WHITENED_RATE), int(2.9 * WHITENED_RATE))

    def compare(row, spectrum, shift):
        segment[:, 60 : 60 + spectrum.shape[1]] = spectrum
        kept = np.fft.irfft(segment)[:, part]
        both = waveforms.polarisations(row, G2NET.approximant, 512.0)
        series = np.fft.irfft(both) * WHITENED_RATE / waveforms.REFERENCE_STRAIN
        close(kept, np.roll(series, int(merger) + shift, axis=-1)[:, part], rtol=0.03)

    for row, spectrum in zip(rows[:6], spectra):
        compare(row, spectrum, shift=0)
        with pytest.raises(AssertionError):
            compare(row, spectrum, shift=1)


@pytest.mark.usefixtures("serial")
def test_a_bank_of_the_field_is_its_own_segment():
    """All of a cut signal lies in it, and all of them are sane at mass ratio 1/10."""
    folder = waveforms.bank(FIELD, 40, seed=1)
    spectra, segment = np.load(folder / "spectra.npy"), FIELD.segment
    frequencies = waveforms.bank_frequencies(segment)
    assert spectra.shape == (40, 2, len(frequencies)) and np.isfinite(spectra).all()
    # Half precision holds them: see `pipeline.Bank`.
    assert np.abs(spectra).max() < 1000 and np.abs(spectra).max(axis=2).min() > 0.01
    padded = np.zeros((40, 2, segment.samples // 2 + 1), complex)
    first = round(20 * segment.samples / WHITENED_RATE)
    padded[..., first : first + len(frequencies)] = spectra
    power = (np.fft.irfft(padded) ** 2).sum(axis=1)
    merger = round(segment.merger_s * WHITENED_RATE)
    outside = power[:, : WHITENED_RATE // 100], power[:, merger + WHITENED_RATE // 4 :]
    for part in outside:
        assert (part.sum(axis=1) / power.sum(axis=1)).max() < 0.01
    peak = np.abs(power.argmax(axis=1) - merger)
    assert np.median(peak) < 0.01 * WHITENED_RATE


def test_the_reach_is_where_the_detectors_record_snr_1(bank):
    """By the bank's powers, and by the strain of the same binaries."""
    rows = pd.read_parquet(bank / "parameters.parquet").to_dict("records")
    powers = np.load(bank / "power.npy", allow_pickle=False)
    assert powers.dtype == np.float32 and powers.shape == (24, 3, 3)
    placed = waveforms.place(G2NET, powers, np.random.default_rng(4))
    sky = placed["ra"], placed["dec"], placed["psi"]
    reach = waveforms.reach(powers, patterns(*sky))
    for place in range(6):
        truth = rows[place] | {name: values[place] for name, values in placed.items()}
        both = waveforms.polarisations(rows[place], G2NET.approximant, 1024.0)
        _, snrs = dataset.record(truth, both)
        network = np.sqrt((snrs**2).sum())
        # The bank ends at 512 Hz, where a light binary has 0.2% of its SNR left.
        expected = reach[place] / truth["luminosity_distance"]
        assert network == pytest.approx(expected, rel=0.005)
        assert 4 <= expected <= 30
    swapped = waveforms.reach(powers, patterns(*sky)[..., ::-1])
    assert (np.abs(swapped / reach - 1) > 0.01).any()


def test_the_same_bank_is_made_once(bank, monkeypatch):
    monkeypatch.setattr(waveforms, "each", None)  # calling it would raise
    assert waveforms.bank(G2NET, 24, seed=1) == bank


@pytest.mark.usefixtures("serial")
def test_another_seed_is_another_bank_of_other_waveforms(bank):
    other = waveforms.bank(G2NET, 24, seed=2)
    assert other != bank
    first, second = (np.load(path / "spectra.npy")[0] for path in (bank, other))
    assert (first != second).all()


@pytest.mark.usefixtures("serial")
def test_a_seed_and_nothing_else_makes_the_bank(bank, monkeypatch, tmp_path):
    """Here, or in processes of their own, the same bytes."""
    monkeypatch.setenv("GWRES_CACHE", str(tmp_path))
    assert contents(waveforms.bank(G2NET, 24, seed=1)) == contents(bank)


@pytest.mark.parametrize(
    "other",
    [
        (population("volumetric"), 24, 1),
        (G2NET, 25, 1),
        (G2NET, 24, 2),
    ],
)
def test_what_changes_a_bank_changes_its_key(other):
    keys = {cache.digest(waveforms.describe(*made)) for made in (other, (G2NET, 24, 1))}
    assert len(keys) == 2


def test_an_interrupted_bank_leaves_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("GWRES_CACHE", str(tmp_path))
    monkeypatch.setattr(waveforms, "CHUNK", 4)

    def interrupted(job, jobs, _):
        yield job(jobs[0])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(waveforms, "each", interrupted)
        with pytest.raises(KeyboardInterrupt):
            waveforms.bank(G2NET, 8, seed=1)
    left = [path for path in tmp_path.rglob("*") if path.suffix != ".lock"]
    assert left == [tmp_path / "bank"]
    monkeypatch.setattr(waveforms, "each", lambda job, jobs, _: map(job, jobs))
    assert len(np.load(waveforms.bank(G2NET, 8, seed=1) / "spectra.npy")) == 8


def test_a_waveform_that_is_not_finite_is_drawn_again(monkeypatch, caplog):
    calls = []

    def broken(frequencies, **parameters):
        calls.append(parameters)
        values = np.full(len(frequencies), np.inf if len(calls) < 3 else 1.0 + 0j)
        return {"plus": values, "cross": values}

    monkeypatch.setattr(waveforms, "lal_binary_black_hole", broken)
    parameters, both = waveforms.draw(G2NET, np.random.default_rng(0), 512.0)
    assert len(calls) == 3 and np.isfinite(both).all()
    assert calls[-1]["phase"] == parameters["phase"] != calls[0]["phase"]
    assert caplog.text.count("drawing another") == 2


def test_never_finite_is_an_error(monkeypatch):
    def broken(frequencies, **parameters):
        return dict.fromkeys(("plus", "cross"), np.full(len(frequencies), np.nan))

    monkeypatch.setattr(waveforms, "lal_binary_black_hole", broken)
    with pytest.raises(FloatingPointError, match="10 draws of g2net"):
        waveforms.draw(G2NET, np.random.default_rng(0), 512.0)


def test_a_light_inspiral_has_the_newtonian_amplitude():
    """|h(f)| falls as f^(-7/6), with the chirp mass to the 5/6."""
    quiet = {"a_1": 0.0, "a_2": 0.0, "theta_jn": 0.0, "mass_ratio": 1.0}
    frequencies = np.arange(round(512 * 8) + 1) / 8
    amplitude = {}
    for mass in 9.0, 12.0:
        row = LIGHT | quiet | {"chirp_mass": mass}
        both = waveforms.polarisations(row, G2NET.approximant, 512.0)
        amplitude[mass] = np.abs(both[0])
    inspiral = (frequencies >= 21) & (frequencies < 40)
    slope = np.polyfit(
        np.log(frequencies[inspiral]), np.log(amplitude[9.0][inspiral]), 1
    )[0]
    assert slope == pytest.approx(-7 / 6, abs=0.06)
    ratio = (amplitude[12.0] / np.maximum(amplitude[9.0], 1e-40))[inspiral].mean()
    assert ratio == pytest.approx((12 / 9) ** (5 / 6), rel=0.02)


def test_face_on_is_circularly_polarised():
    row = HEAVY | {"a_1": 0.0, "a_2": 0.0, "theta_jn": 0.0}
    plus, cross = waveforms.polarisations(row, G2NET.approximant, 512.0)
    close(np.abs(cross), np.abs(plus), rtol=1e-6)
    edge = waveforms.polarisations(
        row | {"theta_jn": np.pi / 2}, G2NET.approximant, 512.0
    )
    assert np.abs(edge[1]).max() < 1e-6 * np.abs(edge[0]).max()


def test_polarisations_are_lalsimulations():
    """The same call made straight to lalsimulation."""
    import lal
    import lalsimulation

    row = HEAVY | {"a_1": 0.0, "a_2": 0.0}
    masses = chirp_mass_and_mass_ratio_to_component_masses(
        row["chirp_mass"], row["mass_ratio"]
    )
    plus, cross = lalsimulation.SimInspiralChooseFDWaveform(
        *(mass * lal.MSUN_SI for mass in masses),
        *(0.0,) * 6,
        waveforms.REFERENCE_MPC * 1e6 * lal.PC_SI,
        row["theta_jn"],
        row["phase"],
        *(0.0,) * 3,
        waveforms.STEP_HZ,
        20.0,
        512.0,
        20.0,
        None,
        lalsimulation.GetApproximantFromString(G2NET.approximant),
    )
    expected = np.stack([plus.data.data, cross.data.data])
    found = waveforms.polarisations(row, G2NET.approximant, 512.0)
    found = found[:, : expected.shape[1]]
    close(np.abs(found), np.abs(expected), rtol=1e-6)
    with pytest.raises(AssertionError):
        other = waveforms.polarisations(
            row | {"chirp_mass": 30.01}, G2NET.approximant, 512.0
        )
        close(np.abs(other), np.abs(expected), rtol=1e-6)
