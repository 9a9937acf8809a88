"""Windows as pictures: strain, whitened strain and spectrogram, with what is known."""

import numpy as np
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure

from gwres.data import pack
from gwres.errors import InputError
from gwres.judging import predictions
from gwres.layers.spectrogram import COLUMNS, RANGE, ROWS, spectrogram
from gwres.pages.plots import BLUE, DPI, GREEN, VERMILLION, WIDTH, canvas
from gwres.simulate.glitches import GLITCH_SNRS, GLITCHES
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
BRIGHTEST = 30.0  # the same among examples of glitches
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
# Kinds of glitches that are called otherwise than by their names in the tables.
SPOKEN = {
    "low_frequency_blip": "low-frequency blip",
    "low_frequency_burst": "low-frequency burst",
    "extremely_loud": "extremely loud glitch",
    "unlabelled": "unlabelled glitch",
}


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
    text = f"{row['id']}: {', '.join(_known(row))}"
    return "; ".join(filter(None, [text, glitches(row)]))


def _known(row):
    return [
        text.format(row[name])
        for name, text in KNOWN
        if name in row and not np.isnan(row[name])
    ]


def spoken(kind):
    """A kind of glitch in plain words."""
    return SPOKEN.get(kind, kind.replace("_", " "))


def glitches(row):
    """The glitches whose middle lies in a window, the loudest first, as text.

    Args:
        row: of the predictions, as a dict.

    Returns:
        Such as "tomte in H1, SNR 31; blip in L1, SNR 8"; "no glitch centred in it"; or
        "" where the row does not tell of glitches.
    """
    if not predictions.has_glitches(row):
        return ""
    found = sorted(
        (-row[snr], f"{spoken(row[kind])} in {detector}, SNR {row[snr]:.0f}")
        for detector, kind, snr in zip(DETECTORS, GLITCHES, GLITCH_SNRS)
        if row[kind]
    )
    return "; ".join(text for _, text in found) or "no glitch centred in it"


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
        _case(part, view(row["id"]), _words(row), row.get("merger_time", np.nan))
    return figure


def candidates(rows, view):
    """Candidates of a search as a network sees them, one below the other.

    Args:
        rows: DataFrame of candidates: time, GPS s; statistic; detectors, those used,
            such as "H1 L1"; and the SNR in each of these, such as snr_H1, where it is
            known.
        view: function of a row, as a dict, to whitened strain (2048, 3) with the merger
            in the middle.

    Returns:
        Figure: for each candidate whitened strain, and a spectrogram of every detector
        that was used; a dotted line at the merger.

    Raises:
        InputError: no rows, a candidate of no known detector, strain of another shape,
            or what `view` refuses.
    """
    if not len(rows):
        raise InputError("a gallery needs at least one candidate; received none")
    figure = Figure(figsize=(WIDTH, 2.8 * len(rows)), dpi=DPI, layout="constrained")
    parts = figure.subfigures(len(rows), squeeze=False)[:, 0]
    for part, row in zip(parts, rows.to_dict("records")):
        used = [name for name in DETECTORS if name in row["detectors"].split()]
        if not used:
            raise InputError(
                f"a candidate needs one of {', '.join(DETECTORS)}; received "
                f"{row['detectors']!r}"
            )
        snrs = {name: row.get(f"snr_{name}", np.nan) for name in used}
        known = [f"{snr:.1f} in {x}" for x, snr in snrs.items() if not np.isnan(snr)]
        text = f"GPS {row['time']:.2f}: statistic {row['statistic']:.2f}"
        text += f", SNR {', '.join(known)}" if known else ""
        _case(part, view(row), text, DURATION / 2, used)
    return figure


def _case(part, whitened, text, merger, names=DETECTORS):
    """One window's panels, of the detectors `names`."""
    whitened = np.asarray(whitened)
    if whitened.shape != (WHITENED_SAMPLES, len(DETECTORS)):
        raise InputError(
            f"expected whitened {(WHITENED_SAMPLES, len(DETECTORS))}, received "
            f"{whitened.shape}"
        )
    ratios = (1.7, *[1] * len(names))
    first, *others = part.subplots(1, len(ratios), width_ratios=ratios, sharex=True)
    for other in others[1:]:
        other.sharey(others[0])
    seconds = np.arange(WHITENED_SAMPLES) / WHITENED_RATE
    shown = [DETECTORS.index(name) for name in names]
    places = -APART * np.arange(len(names))
    for place, i in zip(places, shown):
        shifted = whitened[:, i] + place
        first.plot(seconds, shifted, color=COLOURS[i], linewidth=0.5)
    first.set_yticks(places, names)
    first.set_ylabel(f"Whitened strain\n({APART} \N{GREEK SMALL LETTER SIGMA} apart)")
    first.set_xticks([0, 0.5, 1, 1.5], ["0", "0.5", "1", "1.5"])
    amplitude = np.asarray(spectrogram(whitened[None].astype(np.float32)))[0]
    for i, axis, detector in zip(shown, others, names):
        image = _scan(axis, amplitude[:, :, i], Normalize(-1, LOUDEST))
        axis.set_title(detector)
        axis.tick_params(labelleft=axis is others[0])
    others[0].set_ylabel("Frequency (Hz)")
    bar = part.colorbar(image, ax=others, pad=0.02)
    bar.set_label("Amplitude\n(\N{GREEK SMALL LETTER SIGMA} above noise)")
    for axis in (first, *others):
        axis.set_xlabel("Time (s)")
        if not np.isnan(merger):
            look = {"color": "black" if axis is first else "white", "linestyle": ":"}
            axis.axvline(merger, **look)
    # A dollar in an id would start mathematics.
    part.suptitle(text, fontsize=10, parse_math=False)


def _words(row):
    """What is known of a window, in lines short enough to stand above its panels."""
    known = _known(row)
    half = -(-len(known) // 2)
    words = [f"{row['id']}: {', '.join(known[:half])}", ", ".join(known[half:])]
    lines = [",\n".join(filter(None, words)), glitches(row)]
    return "\n".join(filter(None, lines))


def _scan(axis, amplitude, norm):
    """A detector's spectrogram (64, 128), in colours by `norm`."""
    edges = np.linspace(0, DURATION, COLUMNS + 1)
    # Frequencies are those of the rows; the edges lie half a row to their sides.
    step = (RANGE[1] / RANGE[0]) ** (0.5 / (ROWS - 1))
    bands = np.geomspace(RANGE[0] / step, RANGE[1] * step, ROWS + 1)
    image = axis.pcolormesh(edges, bands, amplitude, norm=norm, cmap="cividis")
    axis.set_yscale("log")
    axis.minorticks_off()
    axis.set_yticks([30, 100, 300], ["30", "100", "300"])
    return image


def kinds(examples):
    """Glitches as a network sees them, two of a kind beside each other.

    Args:
        examples: dict of a kind of glitch to a list of two (detector, SNR, that
            detector's whitened strain (2048,)).

    Returns:
        Figure: a kind below the other, each with whitened strain over a spectrogram.

    Raises:
        InputError: no kinds, or strain of another shape.
    """
    if not examples:
        raise InputError("a gallery needs at least one kind of glitch; received none")
    count = len(examples)
    figure = Figure(figsize=(WIDTH, 1 + 2.3 * count), dpi=DPI, layout="constrained")
    axes = figure.subplots(
        2 * count, 2, sharex=True, sharey="row", height_ratios=(1, 1.5) * count
    )
    # Some are ten times as loud as others, which an even scale would not show.
    norm = PowerNorm(0.5, vmin=0, vmax=BRIGHTEST, clip=True)
    for i, (kind, both) in enumerate(examples.items()):
        for column, (detector, snr, strain) in enumerate(both):
            pair = axes[2 * i : 2 * i + 2, column]
            image = _glitch(*pair, np.asarray(strain), detector, norm)
            title = f"{spoken(kind).capitalize()} in {detector}, SNR {snr:.0f}"
            pair[0].set_title(title, fontsize=10)
            pair[1].tick_params(labelbottom=True)
            pair[1].set_xlabel("Time (s)")
        axes[2 * i, 0].set_ylabel("Whitened\nstrain (\N{GREEK SMALL LETTER SIGMA})")
        axes[2 * i + 1, 0].set_ylabel("Frequency\n(Hz)")
    figure.align_ylabels()
    bar = figure.colorbar(image, ax=axes, location="top", aspect=50, pad=0.01)
    bar.set_ticks([0, 1, 5, 10, 20, BRIGHTEST])
    bar.set_label(
        f"Amplitude (\N{GREEK SMALL LETTER SIGMA} above noise; {BRIGHTEST:g} and more)"
    )
    return figure


def _glitch(above, below, strain, detector, norm):
    """A glitch's two panels."""
    if strain.shape != (WHITENED_SAMPLES,):
        raise InputError(
            f"expected whitened {(WHITENED_SAMPLES,)}, received {strain.shape}"
        )
    seconds = np.arange(WHITENED_SAMPLES) / WHITENED_RATE
    colour = COLOURS[DETECTORS.index(detector)]
    above.plot(seconds, strain, color=colour, linewidth=0.7)
    above.set_xlim(0, DURATION)
    above.yaxis.get_major_locator().set_params(nbins=3, integer=True)
    # The spectrogram takes three detectors: three times the same.
    alone = np.tile(strain[None, :, None].astype(np.float32), len(DETECTORS))
    return _scan(below, np.asarray(spectrogram(alone))[0, :, :, 0], norm)


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
