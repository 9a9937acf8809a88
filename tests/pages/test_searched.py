"""The report of a search: what it shows, that it stands alone, and that it escapes."""

import base64
import re

import lal
import numpy as np
import pandas as pd
import pytest

from gwres.errors import InputError
from gwres.judging import metrics
from gwres.pages import searched

from .test_report import Page

START = 1126259446.0
SEARCHED_S = 7200.0
BACKGROUND_S = 280_000.0  # 3.24 days


def rates(louder, background_s, end=""):
    """What `search.background.table` adds to candidates, beside so many events."""
    rate = (louder + 1) / background_s * lal.YRJUL_SI
    return {
        f"louder{end}": louder,
        f"background_s{end}": background_s,
        f"far_per_year{end}": rate,
        f"ifar_years{end}": 1 / rate,
        f"p{end}": -np.expm1(-SEARCHED_S * (louder + 1) / background_s),
    }


def found(count=12):
    """Candidates, the loudest of them the first detection."""
    louder = np.arange(count) ** 3
    place = np.arange(count)
    columns = {
        "time": np.where(place, START + 300.07 * (place + 1), 1126259462.41),
        "statistic": 31.415926 - 2 * place,
        "trigger": 27.1828 - place,
        "detectors": "H1 L1",
        "snr_H1": 19.6131 - place,
        "snr_L1": 13.3721 - place / 2,
        "snr_V1": np.nan,
        "chi2_H1": 1.0523 + place,
        "chi2_L1": 0.9745,
        "chi2_V1": np.nan,
        "p_astro": np.nan,
    }
    columns |= rates(louder, BACKGROUND_S)
    columns |= rates(louder // 2, BACKGROUND_S * 0.75, "_exclusive")
    return pd.DataFrame(columns)


def alone():
    """Candidates of one detector, which has no time slides."""
    table = found(2).assign(detectors="V1", snr_V1=9.8765, chi2_V1=1.2345)
    table[["snr_H1", "snr_L1", "chi2_H1", "chi2_L1"]] = np.nan
    for end in ("", "_exclusive"):
        unknown = {"louder": 0, "background_s": 0.0, "far_per_year": np.inf}
        unknown |= {"ifar_years": 0.0, "p": 1.0}
        table = table.assign(**{f"{name}{end}": x for name, x in unknown.items()})
    return table


COURSE = pd.DataFrame({"time": START + np.arange(7200.0)})
COURSE["statistic"] = np.random.default_rng(0).normal(size=7200) - 5
CUTS = pd.DataFrame(
    [
        ("H1", START + 10, START + 14.25, "zeros"),
        ("H1", START + 100, START + 101, "BURST_CAT1"),
        ("H1", START + 200, START + 264.5, "zeros"),
        ("L1", START + 300, START + 1534.5, "no <b>file</b>"),
    ],
    columns=["detector", "start", "stop", "reason"],
)
GATES = pd.DataFrame(
    [
        ("L1", START + 50, START + 50.5, 123.456),
        ("L1", START + 70, START + 71.25, 98765.4),
    ],
    columns=["detector", "start", "stop", "peak"],
)
NOTHING = CUTS[:0], GATES[:0]
RNG = np.random.default_rng(1)
INJECTED = pd.DataFrame({"time": START + RNG.uniform(0, 7200, 400)})
INJECTED["network_snr"] = np.linspace(4.04, 39.96, 400)
INJECTED["luminosity_distance"] = 12_345.0 / INJECTED["network_snr"]
INJECTED["far_per_month"] = np.where(INJECTED["network_snr"] > 9, 0.5, np.inf)


def reached():
    """What was reached at three rates, of which the background cannot tell one."""
    share = metrics.wilson(345, 400)
    ends = [share.value, share.low, share.high]
    rows = [
        (0.001, np.nan, 400, *[np.nan] * 6),
        (1.0, 345, 400, *ends, 1234.4, 1100.0, 1350.0),
        (1000.0, 345, 400, *ends, 1234.4, 1100.0, 1350.0),
    ]
    columns = searched.NEEDED["what was reached"]
    return pd.DataFrame(rows, columns=columns)


def view(row):
    """Whitened noise of the detectors that were used."""
    strain = np.random.default_rng(int(row["time"])).normal(size=(2048, 3))
    return strain.astype(np.float32) * [name in row["detectors"] for name in DETECTORS]


DETECTORS = ("H1", "L1", "V1")


def written(folder, candidates, cuts=NOTHING[0], gates=NOTHING[1], **options):
    """A report's page."""
    title = options.pop("title", "A search")
    arguments = title, candidates, COURSE, 2.0, SEARCHED_S, cuts, gates, view
    return Page(searched.write(folder, *arguments, **options))


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A report with all that it may hold."""
    folder = tmp_path_factory.mktemp("searched")
    lists = {"Cost": {"core-seconds": 1234.56}, "<i>": {"<u>": "<script>"}}
    both = INJECTED, reached()
    page = written(
        folder, found(), CUTS, GATES, title="a <b> & title", lists=lists, injected=both
    )
    return page, folder


def grids(page):
    """Heads and rows of the page's tables, as text."""
    return [
        (
            [cell.text for cell in table.iterfind("thead/tr/th")],
            [[cell.text for cell in row] for row in table.iterfind("tbody/tr")],
        )
        for table in page.tree.iter("table")
    ]


def headlined(page):
    [one] = [one for one in page.tree.iter("div") if one.get("class") == "headline"]
    return " ".join(" ".join(one.itertext()).split())


def test_report_holds_its_figures(full):
    page, folder = full
    files = sorted((folder / "plots").iterdir())
    names = ["candidates", "ifar", "injections", "statistic"]
    assert [file.stem for file in files] == names
    inside = [base64.b64decode(one.split(",")[1]) for one in page.images]
    assert sorted(inside) == sorted(file.read_bytes() for file in files)
    order = ["statistic", "ifar", "candidates", "injections"]
    drawn = [(folder / "plots" / f"{name}.png").read_bytes() for name in order]
    assert inside == drawn


def test_report_asks_for_nothing_from_outside(full):
    page, _ = full
    bare = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", page.source)
    assert len(bare) < len(page.source) / 10
    assert not re.search(r"https?:|//|@import|url\(|<link|<script|<iframe", bare)
    linked = {
        value
        for element in page.tree.iter()
        for name, value in element.attrib.items()
        if name in ("src", "href", "srcset", "action", "data")
    }
    assert all(one.startswith("data:image/png;base64,") for one in linked)


def test_report_escapes_what_it_is_given(full):
    page, _ = full
    for text in ("a <b> & title", "no <b>file</b>", "<i>", "<u>", "<script>"):
        assert text in page.text
        assert text not in page.source
    assert not list(page.tree.iter("script")) and not list(page.tree.iter("b"))


def test_report_is_in_order(full):
    page, _ = full
    assert page.headings == [
        "Loudest candidates",
        "Statistic over time",
        "Candidates beside noise",
        "Pictures of the loudest",
        "What was cut",
        "What was gated",
        "Injections",
        "Cost",
        "<i>",
    ]
    before = page.source[: page.source.index('class="headline"')]
    assert "<img" not in before and "<table" not in before
    assert "windows of the split" not in page.text
    assert "nan" not in page.text.lower().split() and "inf" not in page.text.split()


def test_headline_is_a_bound_where_no_event_is_as_loud(full):
    assert headlined(full[0]) == (
        "Searched 2.0 hours of H1 L1; the loudest candidate, at GPS 1126259462.41, "
        "would be made by noise less often than once in 3.2 days: the background is "
        "not longer than that."
    )


def test_headline_is_a_rate_where_events_are_louder():
    loud = found().iloc[2:]
    said = searched.headline(loud, SEARCHED_S)
    # 9 events' rate.
    assert "once in 8.6 hours" in said and f"is {loud['p'].iloc[0]:.2g}." in said
    assert "less often" not in said


def test_candidates_stand_with_their_numbers(full):
    heads, rows = grids(full[0])[0]
    assert heads == [
        *("GPS time", "UTC", "Statistic", "Detectors", "False alarms per year"),
        *("One in", "p", "One in, exclusive"),
        *("SNR H1", "Reduced χ² H1", "SNR L1", "Reduced χ² L1"),
    ]
    table = found()
    assert len(rows) == 10 and "10 of 12" in full[0].text
    assert rows[0] == [
        *("1126259462.41", "2015-09-14 09:50:45.41", "31.42", "H1 L1"),
        *("< 112.7", "> 3.2 days", "< 0.025", "> 2.4 days"),
        *("19.61", "1.052", "13.37", "0.9745"),
    ]
    assert [row[0] for row in rows] == [f"{x:.2f}" for x in table["time"][:10]]
    assert [row[4] for row in rows[4:]] == [
        f"{rate:,.0f}" for rate in table["far_per_year"][4:10]
    ]
    assert [row[6] for row in rows[1:]] == [f"{p:.2g}" for p in table["p"][1:10]]
    # Of one candidate, the exclusive background alone has nothing as loud.
    assert rows[1][5] == "38.9 hours" and rows[1][7].startswith("> ")


def test_p_astro_stands_where_it_is_known(tmp_path):
    table = found(3).assign(p_astro=[0.9871, 0.5, np.nan])
    heads, rows = grids(written(tmp_path, table))[0]
    place = heads.index("p_astro")
    assert [row[place] for row in rows] == ["0.9871", "0.5", None]


def test_cuts_and_gates_are_summed_and_the_worst_are_listed(full):
    cut, longest, gated, loudest, *_ = grids(full[0])[1:]
    assert cut[1] == [
        ["H1", "zeros", "2", "68.75"],
        ["H1", "BURST_CAT1", "1", "1.00"],
        ["L1", "no <b>file</b>", "1", "1,234.50"],
    ]
    assert [row[-1] for row in longest[1]] == ["1,234.50", "64.50", "4.25", "1.00"]
    assert longest[1][0][:3] == ["L1", "no <b>file</b>", f"{START + 300:.2f}"]
    assert gated[1] == [["L1", "2", "1.75"]]
    assert loudest[1][0][-2:] == ["1.25", "98,765"]
    assert loudest[1][1][-2:] == ["0.50", "123.5"]


def test_injections_are_told_by_rate(full):
    page, _ = full
    assert "400 simulated signals" in page.text and "4.0 to 40.0" in page.text
    assert "309 to 3,056 Mpc" in page.text
    heads, rows = next(one for one in grids(page) if "Share found" in one[0])
    share = str(metrics.wilson(345, 400))
    assert heads == list(searched.REACHED)
    told = ["345 of 400", share, "1,234 (1,100 to 1,350)"]
    unknown = ["not known"] * 3
    assert rows == [["0.001", *unknown], ["1", *told], ["1,000", *told]]


def test_few_injections_have_no_figure(tmp_path):
    both = INJECTED[::40], reached()
    page = written(tmp_path, found(2), injected=both)
    assert "Injections" in page.headings and "345 of 400" in page.text
    assert not (tmp_path / "plots" / "injections.png").exists()
    none = written(tmp_path / "none", found(2), injected=(INJECTED[:0], reached()[:0]))
    assert "No signals were injected." in none.text


@pytest.mark.parametrize("empty", [found(0), pd.DataFrame()])
def test_nothing_was_loud_enough(empty, tmp_path):
    page = written(tmp_path, empty, pd.DataFrame(), pd.DataFrame())
    assert "nothing was loud enough to be a candidate" in headlined(page)
    assert "Searched 2.0 hours" in headlined(page)
    files = [file.name for file in (tmp_path / "plots").iterdir()]
    assert files == ["statistic.png"] and len(page.images) == 1
    assert not grids(page)
    assert "there are no candidates" in page.text


def test_one_detector_has_no_rates(tmp_path):
    page = written(tmp_path, alone(), lists={})
    said = headlined(page)
    assert "2.0 hours of V1" in said and "no known false-alarm rate" in said
    assert "one detector alone" in said
    heads, rows = grids(page)[0]
    assert heads[-2:] == ["SNR V1", "Reduced χ² V1"] and "SNR H1" not in heads
    assert rows[0][3:] == ["V1", *["not known"] * 4, "9.877", "1.234"]
    assert not (tmp_path / "plots" / "ifar.png").exists()
    assert "no candidate has a known false-alarm rate" in page.text
    assert len(page.images) == 2


def test_rates_of_two_detectors_may_be_unknown_too(tmp_path):
    page = written(tmp_path, alone().assign(detectors="H1 V1"))
    assert headlined(page).endswith("no known false-alarm rate: no background.")


def test_a_rate_may_be_known_with_the_candidates_own_triggers_alone(tmp_path):
    exclusive = {name: alone()[name][0] for name in alone() if "_exclusive" in name}
    page = written(tmp_path, found(3).assign(**exclusive))
    _, rows = grids(page)[0]
    assert [row[5] for row in rows] == ["> 3.2 days", "38.9 hours", "8.6 hours"]
    assert [row[7] for row in rows] == ["not known"] * 3
    assert (tmp_path / "plots" / "ifar.png").exists()


def test_nothing_searched_has_no_course(tmp_path):
    silent = COURSE.assign(statistic=np.nan)
    arguments = found(0), silent, 2.0, 0.0, *NOTHING, view
    page = Page(searched.write(tmp_path, "A search", *arguments))
    assert not page.images and "no time could be searched" in page.text


def test_only_the_loudest_are_looked_at(tmp_path, monkeypatch):
    """And the figure over time has the height of triggers, not of candidates."""
    seen, marked = [], []
    monkeypatch.setitem(globals(), "view", lambda row: seen.append(row) or NOISE)
    statistic = searched.plots.statistic

    def watched(course, candidates, *others):
        marked.append(candidates["statistic"])
        return statistic(course, candidates, *others)

    monkeypatch.setattr(searched.plots, "statistic", watched)
    table = found(5)
    written(tmp_path, table)
    assert [row["time"] for row in seen] == list(table["time"][:3])
    assert list(marked[0]) == list(table["trigger"])


NOISE = np.random.default_rng(2).normal(size=(2048, 3)).astype(np.float32)


@pytest.mark.parametrize("name", ["trigger", "ifar_years_exclusive", "time"])
def test_a_missing_column_is_told_and_nothing_written(name, tmp_path):
    with pytest.raises(InputError, match=f"candidates: expected .*without {name}$"):
        written(tmp_path / "out", found(2).drop(columns=name))
    with pytest.raises(InputError, match="gates: expected .*without peak$"):
        written(tmp_path / "out", found(2), CUTS, GATES.drop(columns="peak"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (7200, "2.0 hours"),
        (7199, "120.0 minutes"),
        (280_000, "3.2 days"),
        (0.0625, "0.062 s"),
        (0, "0 s"),
        (2 * lal.YRJUL_SI, "2.0 years"),
        (1e4 * lal.YRJUL_SI, "10,000.0 years"),
    ],
)
def test_durations_are_in_units_to_be_read(seconds, text):
    assert searched.duration(seconds) == text


def test_utc_knows_leap_seconds_and_carries():
    assert searched.utc(1126259462.41) == "2015-09-14 09:50:45.41"
    assert searched.utc(1167264017.5) == "2016-12-31 23:59:60.50"
    assert searched.utc(1167264017.996) == "2017-01-01 00:00:00.00"
