"""Windows as pictures: strain, whitened strain and spectrogram, with what is known."""

import numpy as np
from matplotlib.figure import Figure

from gwres.data import pack
from gwres.errors import InputError
from gwres.layers.spectrogram import COLUMNS, RANGE, ROWS, spectrogram
from gwres.pages.plots import BLUE, DPI, GREEN, VERMILLION, WIDTH, canvas
from gwres.strain import (
    DETECTORS,
    DURATION,
    SAMPLE_RATE,
    SCALE,
    SHAPE,
    WHITENED_RATE,
    WHITENED_SAMPLES,
)

COLOURS = (BLUE, VERMILLION, GREEN)
APART = 8  # standard deviations between two detectors' whitened strain
LOUDEST = 5.0  # amplitude at the colour scale's upper end
# What a reader wants to know of a window, each where it is known.
KNOWN = (
    ("logit", "logit {:.2f}"),
    ("matched_filter", "matched filter {:.2f}"),
    ("network_snr", "network SNR {:.1f}"),
    ("chirp_mass", "chirp mass {:.1f} solar masses"),
    ("mass_ratio", "mass ratio {:.2f}"),
    ("luminosity_distance", "{:,.0f} Mpc"),
    ("merger_time", "merger at {:.2f} s"),
)


def viewer(windows, asd):
    """Look at windows one by one, as a network does.

    Args:
        windows: a `corpus.Windows`.
        asd: as `whiten.fit_asd` gives it.

    Returns:
        Function of an id to whitened strain (2048, 3). It raises `InputError` for an
        id that is not in the windows.
    """
    places = {name: place for place, name in enumerate(windows.table["id"])}

    def view(name):
        if name not in places:
            raise InputError(f"expected an id of {windows.name}; received {name}")
        row = slice(places[name], places[name] + 1)
        chunk = windows[row], windows.asds(row)
        return next(pack.whitened([chunk], asd))[0].astype(np.float32)

    return view


def loudest(corpus):
    """The loudest judged signal, as arguments of `example`; None without signals.

    Args:
        corpus: a `Corpus`.

    Returns:
        (raw strain (3, 4096), whitened strain (2048, 3), title), or None.
    """
    for windows in corpus.judged.values():
        signals = windows.table[windows.table["label"] == 1]
        if len(signals):
            place = int(signals["network_snr"].fillna(0).idxmax())
            row = slice(place, place + 1)
            raw = windows[row]
            chunk = raw, windows.asds(row)
            white = next(pack.whitened([chunk], corpus.asd))[0].astype(float)
            return raw[0], white, f"Window {windows.table['id'][place]}, a signal"
    return None


def described(row):
    """What is known of a window, as text: a row of the predictions as a dict."""
    known = [
        text.format(row[name])
        for name, text in KNOWN
        if name in row and not np.isnan(row[name])
    ]
    return f"{row['id']}: {', '.join(known)}"


def cases(rows, view):
    """Windows as a network sees them, one below the other.

    Args:
        rows: DataFrame, some rows of a table of predictions.
        view: as `viewer` gives it.

    Returns:
        Figure: for each window whitened strain, and one spectrogram per detector; a
        dotted line at the merger where it is known.

    Raises:
        InputError: no rows, or what `view` refuses.
    """
    if not len(rows):
        raise InputError("a gallery needs at least one window; received none")
    figure = Figure(figsize=(WIDTH, 2.8 * len(rows)), dpi=DPI, layout="constrained")
    parts = figure.subfigures(len(rows), squeeze=False)[:, 0]
    for part, row in zip(parts, rows.to_dict("records")):
        _case(part, row, view(row["id"]))
    return figure


def _case(part, row, whitened):
    """One window's panels."""
    whitened = np.asarray(whitened)
    if whitened.shape != (WHITENED_SAMPLES, len(DETECTORS)):
        raise InputError(
            f"expected whitened {(WHITENED_SAMPLES, len(DETECTORS))}, received "
            f"{whitened.shape}"
        )
    first, *others = part.subplots(1, 4, width_ratios=(1.7, 1, 1, 1), sharex=True)
    for other in others[1:]:
        other.sharey(others[0])
    seconds = np.arange(WHITENED_SAMPLES) / WHITENED_RATE
    places = -APART * np.arange(len(DETECTORS))
    for i, colour in enumerate(COLOURS):
        shifted = whitened[:, i] + places[i]
        first.plot(seconds, shifted, color=colour, linewidth=0.5)
    first.set_yticks(places, DETECTORS)
    first.set_ylabel(f"Whitened strain\n({APART} \N{GREEK SMALL LETTER SIGMA} apart)")
    first.set_xticks([0, 0.5, 1, 1.5], ["0", "0.5", "1", "1.5"])
    edges = np.linspace(0, DURATION, COLUMNS + 1)
    # Frequencies are those of the rows; the edges lie half a row to their sides.
    step = (RANGE[1] / RANGE[0]) ** (0.5 / (ROWS - 1))
    bands = np.geomspace(RANGE[0] / step, RANGE[1] * step, ROWS + 1)
    amplitude = np.asarray(spectrogram(whitened[None].astype(np.float32)))[0]
    for i, (axis, detector) in enumerate(zip(others, DETECTORS)):
        image = axis.pcolormesh(
            edges, bands, amplitude[:, :, i], vmin=-1, vmax=LOUDEST, cmap="cividis"
        )
        axis.set(yscale="log", title=detector)
        axis.tick_params(labelleft=i == 0)
        axis.minorticks_off()
        axis.set_yticks([30, 100, 300], ["30", "100", "300"])
    others[0].set_ylabel("Frequency (Hz)")
    bar = part.colorbar(image, ax=others, pad=0.02)
    bar.set_label("Amplitude\n(\N{GREEK SMALL LETTER SIGMA} above noise)")
    merger = row.get("merger_time", np.nan)
    for axis in (first, *others):
        axis.set_xlabel("Time (s)")
        if not np.isnan(merger):
            look = {"color": "black" if axis is first else "white", "linestyle": ":"}
            axis.axvline(merger, **look)
    words = described(row).split(", ")
    half = -(-len(words) // 2)
    text = ", ".join(words[:half]) + ",\n" + ", ".join(words[half:])
    # A dollar in an id would start mathematics.
    part.suptitle(text.removesuffix(",\n"), fontsize=10, parse_math=False)


def example(raw, whitened, title):
    """One window: raw strain of the detectors over what the network sees.

    Args:
        raw: strain of shape (3, 4096) at 2048 Hz, dimensionless.
        whitened: (2048, 3) at 1024 Hz, in standard deviations of the noise.
        title: above the figure.

    Returns:
        Figure of six panels, the detectors in order.

    Raises:
        InputError: wrong shape.
    """
    raw, whitened = np.asarray(raw), np.asarray(whitened)
    wanted = (WHITENED_SAMPLES, len(DETECTORS))
    if raw.shape != SHAPE or whitened.shape != wanted:
        raise InputError(
            f"expected raw {SHAPE} and whitened {wanted}, received {raw.shape} and "
            f"{whitened.shape}"
        )
    figure, axes = canvas(9.0, rows=2 * len(DETECTORS), sharex=True)
    power = int(np.log10(SCALE))
    for i, (detector, colour) in enumerate(zip(DETECTORS, COLOURS)):
        above, below = axes[i, 0], axes[i + len(DETECTORS), 0]
        seconds = np.arange(raw.shape[1]) / SAMPLE_RATE
        above.plot(seconds, raw[i] / SCALE, color=colour, linewidth=0.8)
        above.set_ylabel(f"{detector} raw\n($10^{{{power}}}$)")
        seconds = np.arange(len(whitened)) / WHITENED_RATE
        below.plot(seconds, whitened[:, i], color=colour, linewidth=0.8)
        below.set_ylabel(f"{detector} whitened\n(\N{GREEK SMALL LETTER SIGMA})")
    figure.align_ylabels()
    axes[-1, 0].set_xlabel("Time in the window (s)")
    # A dollar would start mathematics, and a lone one stop the drawing.
    figure.suptitle(title, parse_math=False)
    return figure
