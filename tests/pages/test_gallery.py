"""Windows as pictures."""

import numpy as np
import pandas as pd
import pytest

from gwres.data.corpus import Windows
from gwres.data.pack import whitened
from gwres.errors import InputError
from gwres.pages import gallery
from gwres.strain import DETECTORS

CASES = pd.DataFrame(
    {
        "id": ["00ff", "price: $5, 10% _off_"],
        "label": [1, 0],
        "logit": [-2.345, 3.0],
        "network_snr": [12.34, np.nan],
        "chirp_mass": [21.06, np.nan],
        "luminosity_distance": [1234.0, np.nan],
        "merger_time": [1.62, np.nan],
    }
)


def window(seed=2):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(3, 4096)) * 1e-21, rng.normal(size=(2048, 3))


def test_example_shows_both_forms_in_time():
    raw, whitened = window()
    figure = gallery.example(raw, whitened, "title")
    assert len(figure.axes) == 6
    first, last = figure.axes[0].lines[0], figure.axes[5].lines[0]
    np.testing.assert_allclose(first.get_ydata(), raw[0] / 1e-21)
    np.testing.assert_allclose(last.get_ydata(), whitened[:, 2])
    assert first.get_xdata()[1] == 1 / 2048 and last.get_xdata()[1] == 1 / 1024
    labels = [axis.get_ylabel() for axis in figure.axes]
    assert [label[:2] for label in labels] == ["H1", "L1", "V1"] * 2
    assert all("10^{-21}" in label for label in labels[:3])


def test_example_refuses_the_wrong_way_round():
    raw, whitened = window()
    with pytest.raises(InputError, match=r"expected raw \(3, 4096\)"):
        gallery.example(raw, whitened.T, "title")


def test_cases_say_what_is_known():
    first, second = CASES.to_dict("records")
    assert gallery.described(first) == (
        "00ff: logit -2.35, network SNR 12.3, chirp mass 21.1 solar masses, "
        "1,234 Mpc, merger at 1.62 s"
    )
    assert gallery.described(second) == "price: $5, 10% _off_: logit 3.00"


def test_cases_show_strain_and_one_spectrogram_per_detector():
    series = window()[1] * 0.01
    time = np.arange(2048) / 1024
    # A tone burst in L1 alone, at 100 Hz and 0.5 s.
    series[:, 1] += (
        9 * np.sin(2e2 * np.pi * time) * np.exp(-(((time - 0.5) / 0.05) ** 2))
    )
    figure = gallery.cases(CASES.head(1), lambda name: series)
    strain, *spectra, bar = figure.axes
    assert [axis.get_title() for axis in spectra] == list(DETECTORS)
    for i, line in enumerate(strain.lines[:3]):
        np.testing.assert_allclose(line.get_ydata() + 8 * i, series[:, i])
    assert bar.get_ylabel().startswith("Amplitude")
    peaks = []
    for axis in spectra:
        (mesh,) = axis.collections
        peaks.append(mesh.get_array().max())
        if axis.get_title() == "L1":
            row, column = np.unravel_index(mesh.get_array().argmax(), (64, 128))
            edges = mesh.get_coordinates()
            low, high = edges[row, 0, 1], edges[row + 1, 0, 1]
            assert low * 0.97 < 100 < high * 1.03
            assert edges[0, column, 0] == pytest.approx(0.5, abs=0.05)
    assert np.argmax(peaks) == 1
    assert [float(line.get_xdata()[0]) for line in strain.lines[3:]] == [1.62]


def test_cases_refuse_what_they_cannot_show():
    with pytest.raises(InputError, match="at least one window; received none"):
        gallery.cases(CASES.head(0), lambda name: window()[1])
    with pytest.raises(InputError, match=r"expected whitened \(2048, 3\)"):
        gallery.cases(CASES, lambda name: window()[1].T)


def test_viewer_finds_windows_by_id(windows, fitted):
    table = pd.DataFrame({"id": ["a", "b", "c"]})
    held = Windows("holdout", table, lambda start, stop: windows[start:stop], "key")
    view = gallery.viewer(held, fitted)
    expected = next(whitened([(windows[2:3], None)], fitted))[0]
    np.testing.assert_array_equal(view("c"), expected)
    assert np.abs(view("a") - expected).max() > 1
    with pytest.raises(InputError, match="expected an id of holdout; received d"):
        view("d")
