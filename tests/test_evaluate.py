"""The predictions table, the names of its metrics, and the report."""

import base64
import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from gwres import evaluate, metrics
from gwres.errors import InputError

ALWAYS = {"accuracy", "brier", "roc_auc", "roc_auc_low", "roc_auc_high"}
RATES = {"tpr_at_fpr_0.01", "tpr_at_fpr_0.001", "partial_auc_0.01"}


def predictions(signals, noise, seed=0):
    """A table like a holdout's: loud signals score high."""
    rng = np.random.default_rng(seed)
    rows = signals + noise
    label = np.repeat([1, 0], [signals, noise])
    snr = np.where(label, 5 * rng.random(rows) ** (-1 / 3), np.nan)
    logit = rng.normal(size=rows) - 1 + np.where(label, np.minimum(snr, 20) / 3, 0)
    return pd.DataFrame(
        {
            "id": [f"{i:010x}" for i in range(rows)],
            "split": "holdout",
            "label": label,
            "logit": logit,
            "network_snr": snr,
        }
    )


def test_summary_has_the_names_that_are_logged():
    table = predictions(800, 1000)
    named, notes = evaluate.summary(table)
    bins = {f"roc_auc_snr_{bin}" for bin in ("4_6", "6_8", "8_10", "10_15")}
    expected = {f"holdout/{name}" for name in ALWAYS | RATES | bins}
    assert set(named) - {"holdout/roc_auc_snr_15_up"} == expected
    assert all(type(value) is float for value in named.values())
    area = metrics.roc_auc(table["label"], table["logit"])
    assert named["holdout/roc_auc"] == area.value
    assert named["holdout/roc_auc_low"] == area.low
    assert named["holdout/roc_auc_high"] == area.high
    found = metrics.tpr_at_fpr(table["label"], table["logit"], 0.001)
    assert named["holdout/tpr_at_fpr_0.001"] == found.value
    rows = (table["label"] == 0) | table["network_snr"].between(4, 6, inclusive="left")
    faint = metrics.roc_auc(table["label"][rows], table["logit"][rows]).value
    assert named["holdout/roc_auc_snr_4_6"] == faint
    assert all("snr_15_up" in note for note in notes)


def test_summary_takes_its_prefix_and_any_order_of_rows():
    table = predictions(100, 100)
    named, notes = evaluate.summary(table, "matched_filter")
    assert all(name.startswith("matched_filter/") for name in named)
    assert all(note.startswith("matched_filter: ") for note in notes)
    shuffled = table.sample(frac=1, random_state=1)
    again, _ = evaluate.summary(shuffled, "matched_filter")
    assert again == pytest.approx(named, rel=1e-12)


@pytest.mark.parametrize(
    ("noise", "left_out"),
    [(99, RATES), (100, {"tpr_at_fpr_0.001"}), (999, {"tpr_at_fpr_0.001"}), (1000, ())],
)
def test_what_few_rows_cannot_tell_is_left_out_and_said(noise, left_out):
    named, notes = evaluate.summary(predictions(50, noise))
    assert RATES - {name.removeprefix("holdout/") for name in named} == set(left_out)
    for name in left_out:
        assert any(f"{name} needs" in note and str(noise) in note for note in notes)


def test_one_class_keeps_what_can_be_had():
    named, notes = evaluate.summary(predictions(3, 0))
    assert set(named) == {"holdout/accuracy", "holdout/brier"}
    assert "received 3 signals and 0 noise windows" in notes[0]


def test_thin_and_unknown_snrs_are_said():
    table = predictions(20, 30)
    table["network_snr"] = np.repeat([5.0, 7.0, np.nan], [9, 10, 31])
    named, notes = evaluate.summary(table)
    assert "holdout/roc_auc_snr_6_8" in named
    assert "holdout/roc_auc_snr_4_6" not in named
    text = "\n".join(notes)
    assert "roc_auc_snr_4_6 needs 10 signals, received 9" in text
    assert "1 signals of unknown SNR" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="split"), "need the columns id, split"),
        (lambda t: t.assign(split=["train"] * 5 + ["holdout"] * 5), "holdout, train"),
        (lambda t: t.assign(id="same"), "9 come again, such as same"),
        (lambda t: t.assign(logit=np.nan), "10 of 10 that are NaN"),
        (lambda t: t.assign(label=3), "labels must be 0 or 1"),
        (lambda t: t.head(0), "at least one"),
    ],
)
def test_bad_tables_are_refused(change, message, tmp_path):
    table = change(predictions(5, 5))
    with pytest.raises(InputError, match=message):
        evaluate.summary(table)
    with pytest.raises(InputError, match=message):
        evaluate.report(tmp_path / "out", "title", table)
    assert not (tmp_path / "out").exists()


def test_compare_pairs_by_id_not_by_row():
    table = predictions(60, 60)
    noisy = table["logit"] + np.random.default_rng(1).normal(size=120)
    other = table.assign(logit=noisy)
    expected = metrics.paired(table["label"], table["logit"], noisy)
    shuffled = other.sample(frac=1, random_state=2)
    assert evaluate.compare(table, shuffled) == expected
    by_row = metrics.paired(table["label"], table["logit"], shuffled["logit"])
    assert by_row != expected


def test_compare_refuses_other_windows():
    table = predictions(5, 5)
    with pytest.raises(InputError, match="1 ids are only in the first and 0 only in"):
        evaluate.compare(table, table.iloc[1:])
    with pytest.raises(InputError, match="10 of 10 differ"):
        evaluate.compare(table, table.assign(label=1 - table["label"]))


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
    table = predictions(300, 300)
    table["mass_1"] = np.where(table["label"], 31.4159, np.nan)
    # The loudest miss and the loudest false alarm, so that both are shown.
    table.loc[0, ["id", "logit", "network_snr"]] = ["<script>x('&')", -9.0, 99.0]
    table.loc[599, ["id", "logit"]] = ["\" onload='y", 9.0]
    rng = np.random.default_rng(1)
    baseline = table.assign(logit=table["logit"] + rng.normal(size=600))
    path = evaluate.report(
        folder,
        "a <b> & title",
        table,
        HISTORY,
        baseline.sample(frac=1, random_state=1).assign(network_snr=np.nan),
        (rng.normal(size=(3, 4096)) * 1e-21, rng.normal(size=(2048, 3)), "a window"),
        {"Cost": {"windows per core-second": 1234.56}, "<i>": {"<u>": "<script>"}},
    )
    return path, table, baseline


FIGURES = ["calibration", "example", "history", "roc", "scores", "sensitivity"]


def test_report_holds_its_figures(full):
    path, _, _ = full
    files = sorted((path.parent / "plots").iterdir())
    assert [file.name for file in files] == [f"{name}.png" for name in FIGURES]
    inside = [base64.b64decode(one.split(",")[1]) for one in Page(path).images]
    assert sorted(inside) == sorted(file.read_bytes() for file in files)
    assert all(image.startswith(b"\x89PNG") for image in inside)


def test_report_asks_for_nothing_from_outside(full):
    path, _, _ = full
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
    path, table, _ = full
    page = Page(path)
    for text in (table["id"][0], table["id"][599], "a <b> & title", "<u>"):
        assert text in page.text
        assert text not in page.source
    assert not list(page.tree.iter("script"))
    assert not any("onload" in element.attrib for element in page.tree.iter())


def test_report_tells_the_numbers(full):
    path, table, baseline = full
    text = Page(path).text
    for rows in (table, baseline):
        area = metrics.roc_auc(rows["label"], rows["logit"])
        assert f"{area.value:.4f} ({area.low:.4f} to {area.high:.4f})" in text
    difference = evaluate.compare(table, baseline)
    assert f"{difference.value:.4f}" in text and f"p = {difference.p:.2g}" in text
    bins = metrics.by_snr(baseline["label"], baseline["logit"], table["network_snr"])
    assert all(f"{one.measure.value:.4f}" in text for one in bins)
    # The filter's SNRs were unknown: its bins are those of the table.
    assert f"{bins[0].low:g} to {bins[0].high:g}" in text
    assert "tpr_at_fpr_0.001 needs 1,000 noise windows, received 300" in text
    assert "31.42" in text and "1235" in text and "nan" not in text.lower()


def test_report_shows_the_worst_first(full):
    path, _, _ = full
    page = Page(path)
    tables = list(page.tree.iter("table"))
    firsts = [table.find("tbody/tr/td").text for table in tables]
    heads = [[cell.text for cell in table.iter("th")] for table in tables]
    misses = next(i for i, head in enumerate(heads) if "mass_1" in head)
    assert firsts[misses] == "<script>x('&')"
    assert firsts[misses + 1] == "\" onload='y"
    # Noise has no SNR and no masses, so the columns would be empty.
    assert heads[misses + 1] == ["id", "logit", "matched_filter"]


def test_report_of_few_rows(tmp_path):
    page = Page(evaluate.report(tmp_path, "tiny", predictions(3, 0)))
    assert len(page.images) == 2
    assert "received 3 signals and 0 noise windows" in page.text
    assert "Matched filter" not in page.text
    table = predictions(4, 5).assign(network_snr=np.nan)
    page = Page(evaluate.report(tmp_path, "small", table))
    assert len(page.images) == 3
    assert "4 signals of unknown SNR" in page.text
    assert "By network SNR" not in page.headings


def test_a_failed_report_keeps_the_old_one(tmp_path):
    evaluate.report(tmp_path, "old", predictions(20, 20))
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    before = {file: file.read_bytes() for file in files}
    with pytest.raises(InputError, match="a history needs"):
        evaluate.report(tmp_path, "new", predictions(9, 9), pd.DataFrame({"a": [1]}))
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {file: file.read_bytes() for file in files} == before
