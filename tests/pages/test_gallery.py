"""Windows as pictures."""

import numpy as np
import pandas as pd
import pytest

from gwres.data.corpus import Windows
from gwres.data.pack import whitened
from gwres.errors import InputError
from gwres.pages import gallery
from gwres.simulate.glitches import KINDS
from gwres.strain import DETECTORS
from tests.judging.test_predictions import disturbed

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


FOUND = pd.DataFrame(
    {
        "time": [1126259462.41, 1187008882.4],
        "statistic": [31.416, 7.0],
        "detectors": ["H1 L1", "V1"],
        "snr_H1": [19.61, np.nan],
        "snr_L1": [np.nan, np.nan],
        "snr_V1": [np.nan, 9.88],
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


BLIP, TOMTE = ("low_frequency_blip", "L1", 14.2), ("tomte", "H1", 30.7)


def test_cases_say_which_glitches_they_hold():
    rows = CASES.iloc[[1, 0, 0]].reset_index(drop=True)
    none, one, two = disturbed(rows, [[BLIP, TOMTE], [BLIP]]).to_dict("records")
    assert gallery.described(one).endswith(
        "merger at 1.62 s; low-frequency blip in L1, SNR 14"
    )
    assert gallery.glitches(two) == (
        "tomte in H1, SNR 31; low-frequency blip in L1, SNR 14"
    )
    said = gallery.described(none)
    assert said == "price: $5, 10% _off_: logit 3.00; no glitch centred in it"
    assert gallery.glitches(CASES.iloc[0].to_dict()) == ""


def test_every_kind_has_words():
    words = [gallery.spoken(kind) for kind in KINDS]
    assert len(set(words)) == len(KINDS) == 10
    assert not any("_" in word for word in words)
    assert set(gallery.SPOKEN) <= set(KINDS)


def test_cases_have_glitches_in_a_line_of_their_own():
    rows = disturbed(CASES, [[BLIP, TOMTE]])
    figure = gallery.cases(rows, lambda name: window()[1])
    first, second = (part.get_suptitle() for part in figure.subfigs)
    assert first.splitlines() == [
        "00ff: logit -2.35, network SNR 12.3, chirp mass 21.1 solar masses,",
        "1,234 Mpc, merger at 1.62 s",
        "no glitch centred in it",
    ]
    assert second.splitlines() == [
        "price: $5, 10% _off_: logit 3.00",
        "tomte in H1, SNR 31; low-frequency blip in L1, SNR 14",
    ]


def test_kinds_show_strain_over_its_spectrogram():
    """A tone burst at 100 Hz and 0.5 s is there in the panels that it was given for."""
    time = np.arange(2048) / 1024
    burst = 9 * np.sin(2e2 * np.pi * time) * np.exp(-(((time - 0.5) / 0.05) ** 2))
    quiet = np.zeros(2048)
    examples = {
        "koi_fish": [("H1", 81.6, burst), ("L1", 9.0, quiet)],
        "extremely_loud": [("L1", 200.0, quiet), ("V1", 300.0, burst)],
    }
    *axes, bar = gallery.kinds(examples).axes
    assert [axis.get_title() for axis in axes if axis.get_title()] == [
        "Koi fish in H1, SNR 82",
        "Koi fish in L1, SNR 9",
        "Extremely loud glitch in L1, SNR 200",
        "Extremely loud glitch in V1, SNR 300",
    ]
    assert bar.get_xlabel().startswith("Amplitude")
    panels = np.reshape(np.array(axes, object), (2, 2, 2)).swapaxes(1, 2).reshape(4, 2)
    for (above, below), expected in zip(panels, (burst, quiet, quiet, burst)):
        np.testing.assert_array_equal(above.lines[0].get_ydata(), expected)
        assert below.get_yscale() == "log" and below.get_xlabel() == "Time (s)"
        (mesh,) = below.collections
        amplitude = mesh.get_array()
        assert (amplitude.max() > 10) == (expected is burst)
        if expected is burst:
            row, column = np.unravel_index(amplitude.argmax(), (64, 128))
            edges = mesh.get_coordinates()
            assert edges[row, 0, 1] * 0.97 < 100 < edges[row + 1, 0, 1] * 1.03
            assert edges[0, column, 0] == pytest.approx(0.5, abs=0.05)


def test_kinds_refuse_what_they_cannot_show():
    with pytest.raises(InputError, match="at least one kind of glitch; received none"):
        gallery.kinds({})
    with pytest.raises(InputError, match=r"expected whitened \(2048,\), received"):
        gallery.kinds({"blip": [("H1", 9.0, np.zeros(4096))] * 2})


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


def test_candidates_show_the_detectors_that_were_used():
    """Each in its own colour; what is in L1 is drawn as L1's."""
    whitened = window()[1]
    asked = []

    def view(row):
        asked.append(row["time"])
        return whitened

    figure = gallery.candidates(FOUND, view)
    assert asked == list(FOUND["time"])
    parts = [part.axes for part in figure.subfigs]
    used = [["H1", "L1"], ["V1"]]
    for (strain, *spectra, _), names in zip(parts, used):
        assert [axis.get_title() for axis in spectra] == names
        assert [text.get_text() for text in strain.get_yticklabels()] == names
        lines = strain.lines[: len(names)]
        for place, (line, name) in enumerate(zip(lines, names)):
            i = DETECTORS.index(name)
            np.testing.assert_allclose(line.get_ydata() + 8 * place, whitened[:, i])
            assert line.get_color() == gallery.COLOURS[i]
        for axis in (strain, *spectra):
            dotted = axis.lines[-1]
            assert list(dotted.get_xdata()) == [1, 1] and dotted.get_linestyle() == ":"
    (mesh,) = parts[1][1].collections
    (other,) = gallery.cases(CASES[:1], lambda name: whitened).axes[3].collections
    np.testing.assert_array_equal(mesh.get_array(), other.get_array())
    assert [part.get_suptitle() for part in figure.subfigs] == [
        "GPS 1126259462.41: statistic 31.42, SNR 19.6 in H1",
        "GPS 1187008882.40: statistic 7.00, SNR 9.9 in V1",
    ]


def test_candidates_refuse_what_they_cannot_show():
    with pytest.raises(InputError, match="at least one candidate; received none"):
        gallery.candidates(FOUND[:0], lambda row: window()[1])
    with pytest.raises(InputError, match=r"one of H1, L1, V1; received 'G1 K1'"):
        gallery.candidates(FOUND.assign(detectors="G1 K1"), lambda row: window()[1])
    with pytest.raises(InputError, match=r"expected whitened \(2048, 3\)"):
        gallery.candidates(FOUND, lambda row: window()[1].T)


def test_viewer_finds_windows_by_id(windows, fitted):
    table = pd.DataFrame({"id": ["a", "b", "c"]})
    held = Windows("holdout", table, lambda start, stop: windows[start:stop], "key")
    view = gallery.viewer(held, fitted)
    expected = next(whitened([(windows[2:3], None)], fitted))[0]
    np.testing.assert_array_equal(view("c"), expected)
    assert np.abs(view("a") - expected).max() > 1
    with pytest.raises(InputError, match="expected an id of holdout; received d"):
        view("d")
