"""The reports: what they show, that they stand alone, and that they escape."""

import base64
import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from gwres.errors import InputError
from gwres.judging import metrics, predictions
from gwres.pages import report
from tests.judging.test_predictions import disturbed, made_up


class Page:
    """What a reader of a report would find."""

    def __init__(self, path):
        self.source = path.read_text(encoding="utf-8")
        # Parsing as XML is stricter than any browser.
        self.tree = ElementTree.fromstring(self.source)
        self.text = " ".join(self.tree.itertext())
        self.images = [image.get("src") for image in self.tree.iter("img")]
        self.headings = [heading.text for heading in self.tree.iter("h2")]


HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "train/loss": [0.7, 0.6, 0.5],
        "val/loss": [0.68, 0.62, 0.6],
        "val/roc_auc": [0.6, 0.7, 0.75],
    }
)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A report with all that it may hold, of windows with a malicious id."""
    folder = tmp_path_factory.mktemp("report")
    table = made_up(300, 300)
    table["mass_1"] = np.where(table["label"], 31.4159, np.nan)
    # The loudest miss and the loudest false alarm, so that both are shown.
    table.loc[0, ["id", "logit", "network_snr"]] = ["<script>x('&')", -9.0, 99.0]
    table.loc[599, ["id", "logit"]] = ["\" onload='y", 9.0]
    rng = np.random.default_rng(1)
    baseline = table.assign(logit=table["logit"] + rng.normal(size=600))
    evidence = table.assign(logit=table["logit"] + 0.4 * rng.normal(size=600))
    path = report.write(
        folder,
        "a <b> & title",
        table,
        HISTORY,
        {
            "matched filter": baseline.sample(frac=1, random_state=1).assign(
                network_snr=np.nan
            ),
            "coherent evidence": evidence.sample(frac=1, random_state=2),
        },
        (rng.normal(size=(3, 4096)) * 1e-21, rng.normal(size=(2048, 3)), "a window"),
        {"Cost": {"windows per core-second": 1234.56}, "<i>": {"<u>": "<script>"}},
        lambda name: rng.normal(size=(2048, 3)),
        report.added_to(table, evidence, own=True),
    )
    return path, table, baseline, evidence


FIGURES = ["alarms", "calibration", "example", "history", "misses", "roc", "scores"]
FIGURES += ["sensitivity"]


def test_report_holds_its_figures(full):
    path, *_ = full
    files = sorted((path.parent / "plots").iterdir())
    assert [file.name for file in files] == [f"{name}.png" for name in FIGURES]
    inside = [base64.b64decode(one.split(",")[1]) for one in Page(path).images]
    assert sorted(inside) == sorted(file.read_bytes() for file in files)
    assert all(image.startswith(b"\x89PNG") for image in inside)


def test_report_asks_for_nothing_from_outside(full):
    path, *_ = full
    page = Page(path)
    bare = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", page.source)
    assert len(bare) < len(page.source) / 10
    assert not re.search(r"https?:|//|@import|url\(|<link|<script|<iframe", bare)
    sources = {
        value
        for element in page.tree.iter()
        for name, value in element.attrib.items()
        if name in ("src", "href", "srcset", "action", "data")
    }
    assert all(source.startswith("data:image/png;base64,") for source in sources)


def test_report_escapes_what_it_is_given(full):
    path, table, *_ = full
    page = Page(path)
    for text in (table["id"][0], table["id"][599], "a <b> & title", "<u>"):
        assert text in page.text
        assert text not in page.source
    assert not list(page.tree.iter("script"))
    assert not any("onload" in element.attrib for element in page.tree.iter())


def test_report_tells_the_numbers(full):
    path, table, baseline, evidence = full
    text = Page(path).text
    for rows in (table, baseline, evidence):
        area = metrics.roc_auc(rows["label"], rows["logit"])
        assert f"{area.value:.4f} ({area.low:.4f} to {area.high:.4f})" in text
    difference = predictions.compare(table, baseline)
    assert f"{difference.value:.4f}" in text and f"p = {difference.p:.2g}" in text
    for rows in (evidence, baseline):
        bins = metrics.by_snr(rows["label"], rows["logit"], table["network_snr"])
        assert all(str(one.measure) in text for one in bins)
    # The filter's SNRs were unknown: its bins are those of the table.
    assert f"{bins[0].low:g} to {bins[0].high:g}" in text
    assert "tpr_at_fpr_0.001 needs 1,000 noise windows, received 300" in text
    assert "31.42" in text and "1235" in text and "nan" not in text.lower()


def test_report_begins_with_what_matters(full):
    path, table, baseline, evidence = full
    page = Page(path)
    [headline] = [
        one for one in page.tree.iter("div") if one.get("class") == "headline"
    ]
    said = " ".join(headline.itertext())
    for rows in (table, baseline, evidence):
        area = metrics.roc_auc(rows["label"], rows["logit"])
        assert f"{area.value:.4f} ({area.low:.4f} to {area.high:.4f})" in said
    assert said.count(report.added_to(table, evidence, own=True)) == 1
    difference = predictions.compare(table, baseline)
    assert f"{difference.value:.4f}" in said and report.verdict(difference) in said
    before = page.source[: page.source.index('class="headline"')]
    assert "<img" not in before and "<table" not in before
    [bins] = [
        one
        for one in page.tree.iter("table")
        if one.findtext("thead/tr/th") == "Network SNR"
    ]
    for row in bins.iterfind("tbody/tr"):
        # The bin, its signals, and two measures of three.
        assert len(row) == 8 and all(cell.text for cell in row)


def test_verdict_depends_on_sign_and_p():
    said = [
        report.verdict(metrics.Difference(*one))
        for one in [
            (0.1, 0.05, 0.15, 0.001),
            (-0.1, -0.15, -0.05, 0.001),
            (0.1, -0.1, 0.3, 0.4),
        ]
    ]
    assert "better" in said[0] and "worse" in said[1] and "cannot" in said[2]


def test_what_is_added_depends_on_whose_the_evidence_is():
    """And on whether these windows show it; it is paired, and in one line."""
    table = made_up(300, 300)
    noise = np.random.default_rng(1).normal(size=600)
    like = table.assign(logit=table["logit"] + 0.1 * noise)
    worse = table.assign(logit=table["logit"] + 3 * noise)
    said = {}
    for own in (True, False):
        for one, other in ((table, like), (table, worse), (worse, table)):
            text = report.added_to(one, other, own)
            assert str(predictions.compare(one, other)) in text
            assert str(metrics.roc_auc(other["label"], other["logit"])) in text
            assert "\n" not in text
            said.setdefault(own, []).append(text)
    assert all("its own front end has" in text for text in said[True])
    assert not any("front end" in text for text in said[False])
    nothing, gain, loss = said[True]
    assert "nothing" in nothing and "gain" in gain and "loss" in loss
    alike, better, worse = said[False]
    assert "not to be told" in alike and "better" in better and "worse" in worse
    assert report.added_to(made_up(3, 0), made_up(3, 0)) == ""


def test_pictures_are_of_the_worst(tmp_path):
    """The windows that are looked at are the loudest misses and false alarms."""
    table = made_up(300, 300)
    seen = []

    def view(name):
        seen.append(name)
        return np.zeros((2048, 3))

    report.write(tmp_path, "title", table, view=view)
    missed = table[(table["label"] == 1) & (table["logit"] <= 0)]
    alarms = table[(table["label"] == 0) & (table["logit"] > 0)]
    expected = [
        *missed.nlargest(3, "network_snr")["id"],
        *alarms.nlargest(3, "logit")["id"],
    ]
    assert seen == expected


def test_a_bad_table_leaves_nothing(tmp_path):
    table = made_up(5, 5).assign(logit=np.nan)
    with pytest.raises(InputError, match="10 of 10 that are NaN"):
        report.write(tmp_path / "out", "title", table)
    assert not (tmp_path / "out").exists()


def test_report_shows_the_worst_first(full):
    path, *_ = full
    page = Page(path)
    tables = list(page.tree.iter("table"))
    firsts = [table.find("tbody/tr/td").text for table in tables]
    heads = [[cell.text for cell in table.iter("th")] for table in tables]
    misses = next(i for i, head in enumerate(heads) if "mass_1" in head)
    assert firsts[misses] == "<script>x('&')"
    assert firsts[misses + 1] == "\" onload='y"
    # Noise has no SNR and no masses, so the columns would be empty.
    scores = ["logit", "matched_filter", "coherent_evidence"]
    assert heads[misses + 1] == ["id", *scores]


def test_report_counts_false_alarms_by_glitch(tmp_path):
    """Beside the network each of the classical side has its own threshold."""
    blip, tomte = ("blip", "L1", 14.2), ("tomte", "H1", 30.7)
    table = disturbed(made_up(300, 300), [[blip, tomte], [blip], [blip]])
    table.loc[[599, 598], "logit"] = 99.0, 98.0
    beside = {"matched filter": table.assign(logit=-table["logit"])}
    page = Page(report.write(tmp_path, "title", table, classical=beside))
    assert "False alarms by glitch" in page.headings
    [counts] = [
        one
        for one in page.tree.iter("table")
        if one.findtext("thead/tr/th") == "Glitch"
    ]
    # Of 300 noise windows three are above the threshold; 0.001 needs 1,000.
    heads = [cell.text for cell in counts.iterfind("thead/tr/th")]
    assert heads == ["Glitch", "Noise windows", "FPR 0.01, network", "matched filter"]
    cells = [[cell.text for cell in row] for row in counts.iterfind("tbody/tr")]
    assert cells == [
        ["blip", "2", "1 (50.0%)", "0 (0.0%)"],
        ["tomte", "1", "1 (100.0%)", "0 (0.0%)"],
        ["none", "297", "1 (0.3%)", "3 (1.0%)"],
        ["all", "300", "3 (1.0%)", "3 (1.0%)"],
    ]
    alarms = list(page.tree.iter("table"))[-1]
    assert [cell.text for cell in alarms.iterfind("thead/tr/th")] == [
        "id",
        "logit",
        "matched_filter",
        "glitches",
    ]
    said = [row[-1].text for row in alarms.iterfind("tbody/tr")]
    assert said[:3] == ["tomte in H1, SNR 31; blip in L1, SNR 14"] + [
        "blip in L1, SNR 14",
        "no glitch centred in it",
    ]


def test_report_tells_of_glitches_only_where_they_are_known(full, tmp_path):
    path, *_ = full
    assert "glitch" not in Page(path).source.lower()
    few = disturbed(made_up(20, 20), [])
    page = Page(report.write(tmp_path, "few", few))
    assert "False alarms by glitch" not in page.headings


def test_report_of_few_rows(tmp_path):
    page = Page(report.write(tmp_path, "tiny", made_up(3, 0)))
    assert len(page.images) == 2
    assert "received 3 signals and 0 noise windows" in page.text
    assert "Matched filter" not in page.text
    table = made_up(4, 5).assign(network_snr=np.nan)
    page = Page(report.write(tmp_path, "small", table))
    assert len(page.images) == 3
    assert "4 signals of unknown SNR" in page.text
    assert "By network SNR" not in page.headings


def test_a_failed_report_keeps_the_old_one(tmp_path):
    report.write(tmp_path, "old", made_up(20, 20))
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    before = {file: file.read_bytes() for file in files}
    with pytest.raises(InputError, match="a history needs"):
        report.write(tmp_path, "new", made_up(9, 9), pd.DataFrame({"a": [1]}))
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {file: file.read_bytes() for file in files} == before


def judged(seed, strength, rows=400):
    """Predictions of one set of windows, by a model that finds some of the signals."""
    label = np.arange(rows) % 2
    snr = np.where(label, 4 + np.arange(rows) % 7, np.nan)
    noise = np.random.default_rng(seed).normal(size=rows)
    logit = noise + strength * label
    ids = [f"{i:05d}" for i in range(rows)]
    columns = {"id": ids, "split": "gate", "label": label, "logit": logit}
    made = pd.DataFrame(columns | {"network_snr": snr})
    return made.sample(frac=1, random_state=seed, ignore_index=True)


TABLES = {"good": judged(1, 2.0), "poor": judged(2, 0.5), "again <b>": judged(1, 2.0)}


def test_a_comparison_shows_every_model_and_every_difference(tmp_path):
    path = report.compare(tmp_path, "Three", TABLES, {"Settings": {"split": "gate"}})
    text = path.read_text()
    area = predictions.summary(TABLES["poor"])[0]["holdout/roc_auc"]
    found = predictions.differences(TABLES).iloc[0]
    for words in (
        "<h1>Three</h1>",
        "400 windows of the split gate, 200 of them signals",
        f"<td>{area:.4f} (",
        f"<td>{found['difference']:+.4f} (",
        "again &lt;b&gt;",
        "<th>4 to 6</th>",
        "data:image/png;base64,",
        "<th>split</th><td>gate</td>",
    ):
        assert words in text, words
    assert (tmp_path / "plots" / "roc.png").stat().st_size > 10_000


def test_one_model_alone_has_no_differences(tmp_path):
    text = report.compare(tmp_path, "One", {"good": TABLES["good"]}).read_text()
    assert "Differences" not in text


def test_a_comparison_of_other_windows_is_refused(tmp_path):
    fewer = {"good": TABLES["good"], "poor": TABLES["poor"][:-1]}
    with pytest.raises(InputError, match="the same windows"):
        report.compare(tmp_path, "Two", fewer)
    assert not list(tmp_path.iterdir())
