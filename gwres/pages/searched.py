"""What a search over recorded strain found, as a page that stands alone."""

import lal
import numpy as np
import pandas as pd

from gwres.errors import InputError
from gwres.judging import metrics
from gwres.pages import gallery, plots
from gwres.pages.report import page
from gwres.strain import DETECTORS

SHOWN = 10  # candidates in the table
PICTURED = 3  # candidates that are shown as pictures too
LONGEST = 5  # cuts and gates that are listed one by one
UNKNOWN = "not known"
UNITS = (("years", lal.YRJUL_SI), *plots.UNITS)
RATES = ("louder", "background_s", "far_per_year", "ifar_years", "p")
NEEDED = {
    "candidates": (
        *("time", "statistic", "trigger", "detectors"),
        *(f"{name}{end}" for end in ("", "_exclusive") for name in RATES),
    ),
    "the course": ("time", "statistic"),
    "cuts": ("detector", "start", "stop", "reason"),
    "gates": ("detector", "start", "stop", "peak"),
    "injections": ("time", "network_snr", "luminosity_distance", "far_per_month"),
    "what was reached": (
        *("far_per_month", "found", "injections"),
        *(f"fraction{end}" for end in ("", "_low", "_high")),
        *(f"distance_mpc{end}" for end in ("", "_low", "_high")),
    ),
}
REACHED = (
    "False alarms per month",
    "Injections found",
    "Share found",
    "Sensitive distance (Mpc)",
)


def write(
    folder,
    title,
    candidates,
    course,
    threshold,
    searched_s,
    cuts,
    gates,
    view,
    lists=None,
    injected=None,
):
    """Write `plots/*.png` and a `report.html` that needs nothing but itself.

    Args:
        folder: where to; created.
        title: of the report.
        candidates: DataFrame, the loudest first, any number of rows: time, GPS s;
            statistic; trigger, the statistic of the course there; detectors, such as
            "H1 L1"; louder, background_s, far_per_year, ifar_years and p, as
            `search.background.table` gives them, and the same with `_exclusive`; and,
            where they are known, p_astro and in each detector the SNR, such as snr_H1,
            and the reduced chi-squared, such as chi2_H1.
        course: DataFrame of columns time, GPS s, rising, and statistic: the log
            likelihood ratio that triggers are found in, over time.
        threshold: of the triggers.
        searched_s: how much was searched, s.
        cuts: DataFrame of what was cut out: detector, start and stop, GPS s, reason.
        gates: DataFrame of what was gated: detector, start and stop, GPS s, and peak,
            in standard deviations of the noise.
        view: as for `gallery.candidates`.
        lists: dict of heading, such as Cost, to a dict of names and values to list.
        injected: None, or (rows, reached) of simulated signals that were searched for
            as well. Of rows each is one: time, GPS s; network_snr;
            luminosity_distance, Mpc; far_per_month, infinite where it was not found. Of
            reached each is a false-alarm rate: far_per_month; found, of injections;
            fraction and distance_mpc with their ends `_low` and `_high`, NaN where
            the background cannot tell that rate.

    Returns:
        Path of `report.html`.

    Raises:
        InputError: a column is missing, or what `gallery.candidates`, `plots.ifar` and
            `plots.injections` refuse.
    """
    rows, reached = injected or (None, None)
    tables = zip(NEEDED, (candidates, course, cuts, gates, rows, reached))
    for what, table in tables:
        _check(table, what)
    said = {
        "title": title,
        "lists": lists or {},
        "headline": headline(candidates, searched_s),
        "candidates": _candidates(candidates.head(SHOWN)),
        "count": len(candidates),
        "cuts": _cuts(cuts),
        "gates": _gates(gates),
        "injections": injected and _injections(rows),
        "reached": injected and (REACHED, reached_rows(reached)),
    }
    drawn = [
        *_over_time(candidates, course, threshold),
        *_found(candidates, searched_s, view),
        *_injected(rows, reached),
    ]
    return page(folder, "searched.html.jinja", said, drawn)


def headline(candidates, searched_s):
    """What was searched and how rare the loudest candidate is, in a sentence.

    Args:
        candidates: as for `write`.
        searched_s: how much was searched, s.
    """
    if not len(candidates):
        return (
            f"Searched {duration(searched_s)} of strain; nothing was loud enough to be "
            "a candidate."
        )
    names = " ".join(_used(candidates))
    row = candidates.iloc[0].to_dict()
    loudest = (
        f"Searched {duration(searched_s)} of {names}; the loudest candidate, at GPS "
        f"{row['time']:.2f},"
    )
    if not _known(row):
        alone = len(row["detectors"].split()) == 1
        reason = "one detector alone has no background" if alone else "no background"
        return f"{loudest} has no known false-alarm rate: {reason}."
    once = duration(row["ifar_years"] * lal.YRJUL_SI)
    if row["louder"] == 0:
        return (
            f"{loudest} would be made by noise less often than once in {once}: the "
            "background is not longer than that."
        )
    return (
        f"{loudest} would be made by noise once in {once}; the chance that noise makes "
        f"one as loud in the time that was searched is {row['p']:.2g}."
    )


def rates(row, end=""):
    """How rare a candidate is: false alarms per year, one in how long, and p, as text.

    Args:
        row: of the candidates, as a dict.
        end: "" or "_exclusive".

    Returns:
        Three texts. Bounds, which begin with < or >, where no event of the background
        is as loud; "not known" where there is no background.
    """
    if not _known(row, end):
        return UNKNOWN, UNKNOWN, UNKNOWN
    rate = _number(row[f"far_per_year{end}"])
    once = duration(row[f"ifar_years{end}"] * lal.YRJUL_SI)
    chance = f"{row[f'p{end}']:.2g}"
    if row[f"louder{end}"] == 0:
        return f"< {rate}", f"> {once}", f"< {chance}"
    return rate, once, chance


def rated(candidates):
    """The candidates whose inclusive false-alarm rate is known."""
    chosen = [_known(row) for row in candidates.to_dict("records")]
    return candidates[np.array(chosen, dtype=bool)]


def reached_rows(reached):
    """What was reached at each false-alarm rate, as rows of text beside `REACHED`."""
    rows = []
    for one in reached.to_dict("records"):
        known = not np.isnan(one["fraction"])
        share, distance = (
            [one[f"{name}{end}"] for end in ("", "_low", "_high")]
            for name in ("fraction", "distance_mpc")
        )
        rows.append(
            (
                _number(one["far_per_month"]),
                f"{one['found']:,.0f} of {one['injections']:,.0f}"
                if known
                else UNKNOWN,
                str(metrics.Interval(*share)) if known else UNKNOWN,
                UNKNOWN
                if np.isnan(distance[0])
                else "{:,.0f} ({:,.0f} to {:,.0f})".format(*distance),
            )
        )
    return rows


def duration(seconds):
    """A length of time in the unit that it has two or more of, such as 3.2 days."""
    unit, length = next(
        one for one in UNITS if seconds >= 2 * one[1] or one is UNITS[-1]
    )
    value = seconds / length
    return f"{value:,.1f} {unit}" if value >= 1 else f"{value:.2g} {unit}"


def utc(gps):
    """A GPS time, s, as UTC to the hundredth of a second: 2015-09-14 09:50:45.41."""
    whole, hundredths = divmod(round(gps * 100), 100)
    year, month, day, hour, minute, second, *_ = lal.GPSToUTC(whole)
    clock = f"{hour:02}:{minute:02}:{second:02}.{hundredths:02}"
    return f"{year}-{month:02}-{day:02} {clock}"


def _check(table, what):
    """Refuse a table without a column; one without rows may have none."""
    if table is None or not len(table):
        return
    missing = [name for name in NEEDED[what] if name not in table]
    if missing:
        raise InputError(
            f"{what}: expected the columns {', '.join(NEEDED[what])}; without "
            f"{', '.join(missing)}"
        )


def _known(row, end=""):
    """Whether a candidate's false-alarm rate is known."""
    return row[f"ifar_years{end}"] > 0


def _used(candidates):
    """The detectors of any of the candidates."""
    named = set(" ".join(candidates["detectors"]).split())
    return [name for name in DETECTORS if name in named]


def _number(value):
    """A number to four digits, thousands apart; "" for NaN."""
    if np.isnan(value):
        return ""
    return f"{value:,.0f}" if 1000 <= value < 1e9 else f"{value:.4g}"


def _candidates(candidates):
    """Heads and rows of the table of candidates."""
    if not len(candidates):
        return [], []
    heads = ["GPS time", "UTC", "Statistic", "Detectors", "False alarms per year"]
    heads += ["One in", "p", "One in, exclusive"]
    measured = [
        (f"{name}_{detector}", f"{words} {detector}")
        for detector in _used(candidates)
        for name, words in (("snr", "SNR"), ("chi2", "Reduced \u03c7\u00b2"))
    ]
    measured = [
        (name, words)
        for name, words in (("p_astro", "p_astro"), *measured)
        if name in candidates and candidates[name].notna().any()
    ]
    heads += [words for _, words in measured]
    rows = [
        (
            f"{row['time']:.2f}",
            utc(row["time"]),
            _number(row["statistic"]),
            row["detectors"],
            *rates(row),
            rates(row, "_exclusive")[1],
            *(_number(row[name]) for name, _ in measured),
        )
        for row in candidates.to_dict("records")
    ]
    return heads, rows


def _cuts(cuts):
    """Tables of the cuts by detector and reason, and of the longest, as `_gates`."""
    if not len(cuts):
        return []
    cuts = cuts.assign(seconds=cuts["stop"] - cuts["start"])
    summed = cuts.groupby(["detector", "reason"])["seconds"].agg(["size", "sum"])
    ordered = summed.reset_index().sort_values(
        ["detector", "sum"], ascending=[True, False]
    )
    longest = cuts.sort_values("seconds", ascending=False, kind="stable").head(LONGEST)
    return [
        (
            "",
            ["Detector", "Reason", "Cuts", "Seconds"],
            [
                (one.detector, one.reason, f"{one.size:,}", f"{one.sum:,.2f}")
                for one in ordered.itertuples(index=False)
            ],
        ),
        (
            "The longest",
            ["Detector", "Reason", "From GPS", "UTC", "Seconds"],
            [
                (
                    one.detector,
                    one.reason,
                    f"{one.start:.2f}",
                    utc(one.start),
                    f"{one.seconds:,.2f}",
                )
                for one in longest.itertuples()
            ],
        ),
    ]


def _gates(gates):
    """Tables, as (title, heads, rows), of the gates by detector, and the loudest."""
    if not len(gates):
        return []
    gates = gates.assign(seconds=gates["stop"] - gates["start"])
    summed = gates.groupby("detector")["seconds"].agg(["size", "sum"])
    loudest = gates.sort_values("peak", ascending=False, kind="stable").head(LONGEST)
    return [
        (
            "",
            ["Detector", "Gates", "Seconds"],
            [
                (detector, f"{count:,.0f}", f"{seconds:,.2f}")
                for detector, (count, seconds) in summed.iterrows()
            ],
        ),
        (
            "The loudest",
            ["Detector", "From GPS", "UTC", "Seconds", "Peak (\u03c3)"],
            [
                (
                    one.detector,
                    f"{one.start:.2f}",
                    utc(one.start),
                    f"{one.seconds:,.2f}",
                    _number(one.peak),
                )
                for one in loudest.itertuples()
            ],
        ),
    ]


def _injections(rows):
    """How many signals were injected, and how far and how loud, in a sentence."""
    if not len(rows):
        return "No signals were injected."
    ends = {
        name: (rows[name].min(), rows[name].max())
        for name in ("network_snr", "luminosity_distance")
    }
    return (
        f"{len(rows):,} simulated signals were injected and searched for as well: "
        "network SNR {:.1f} to {:.1f}, ".format(*ends["network_snr"])
        + "luminosity distance {:,.0f} to {:,.0f} Mpc.".format(
            *ends["luminosity_distance"]
        )
    )


def _over_time(candidates, course, threshold):
    """Name, caption and Figure of the statistic, where there is one."""
    if not len(course) or not course["statistic"].notna().any():
        return
    if len(candidates):
        marked = candidates[["time"]].assign(statistic=candidates["trigger"])
    else:
        marked = pd.DataFrame({"time": [], "statistic": []}, dtype=float)
    name = "log likelihood ratio"
    caption = (
        "The coincident log likelihood ratio that triggers are found in, over time, "
        "and the triggers of the candidates. It is not the statistic that candidates "
        "are ranked by."
    )
    yield "statistic", caption, plots.statistic(course, marked, threshold, name)


def _found(candidates, searched_s, view):
    """Name, caption and Figure of the candidates' rates and of the loudest."""
    known = rated(candidates)
    if len(known):
        caption = (
            "Candidates by inverse false-alarm rate, and how many noise alone makes "
            "in the time that was searched."
        )
        yield "ifar", caption, plots.ifar(known, searched_s / lal.YRJUL_SI)
    if len(candidates):
        caption = (
            "The loudest candidates: whitened strain, and a spectrogram of each "
            "detector that was used. Dotted: the merger."
        )
        picture = gallery.candidates(candidates.head(PICTURED), view)
        yield "candidates", caption, picture


def _injected(rows, reached):
    """Name, caption and Figure of the injections, where there are enough."""
    if rows is None or not len(rows) or not len(reached):
        return
    told = reached.loc[reached["fraction"].notna(), "far_per_month"]
    most = np.histogram(rows["network_snr"].dropna(), plots.SNRS)[0].max()
    if len(told) and most >= metrics.LEAST:
        caption = (
            "Share of the injections found at each false-alarm rate or a lower one, by "
            "network SNR, with 95% intervals."
        )
        yield "injections", caption, plots.injections(rows, list(told))
