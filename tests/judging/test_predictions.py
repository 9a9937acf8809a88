"""The predictions table and the names of its metrics."""

import numpy as np
import pandas as pd
import pytest

from gwres.errors import InputError
from gwres.judging import metrics, predictions
from gwres.simulate.glitches import GLITCH_SNRS, GLITCHES

ALWAYS = {"accuracy", "brier", "roc_auc", "roc_auc_low", "roc_auc_high"}
RATES = {"tpr_at_fpr_0.01", "tpr_at_fpr_0.001", "partial_auc_0.01"}


def made_up(signals, noise, seed=0):
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
    table = made_up(800, 1000)
    named, notes = predictions.summary(table)
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
    table = made_up(100, 100)
    named, notes = predictions.summary(table, "matched_filter")
    assert all(name.startswith("matched_filter/") for name in named)
    assert all(note.startswith("matched_filter: ") for note in notes)
    shuffled = table.sample(frac=1, random_state=1)
    again, _ = predictions.summary(shuffled, "matched_filter")
    assert again == pytest.approx(named, rel=1e-12)


@pytest.mark.parametrize(
    ("noise", "left_out"),
    [(99, RATES), (100, {"tpr_at_fpr_0.001"}), (999, {"tpr_at_fpr_0.001"}), (1000, ())],
)
def test_what_few_rows_cannot_tell_is_left_out_and_said(noise, left_out):
    named, notes = predictions.summary(made_up(50, noise))
    assert RATES - {name.removeprefix("holdout/") for name in named} == set(left_out)
    for name in left_out:
        assert any(f"{name} needs" in note and str(noise) in note for note in notes)


def test_one_class_keeps_what_can_be_had():
    named, notes = predictions.summary(made_up(3, 0))
    assert set(named) == {"holdout/accuracy", "holdout/brier"}
    assert "received 3 signals and 0 noise windows" in notes[0]


def test_thin_and_unknown_snrs_are_said():
    table = made_up(20, 30)
    table["network_snr"] = np.repeat([5.0, 7.0, np.nan], [9, 10, 31])
    named, notes = predictions.summary(table)
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
def test_bad_tables_are_refused(change, message):
    table = change(made_up(5, 5))
    with pytest.raises(InputError, match=message):
        predictions.summary(table)


def test_compare_pairs_by_id_not_by_row():
    table = made_up(60, 60)
    noisy = table["logit"] + np.random.default_rng(1).normal(size=120)
    other = table.assign(logit=noisy)
    expected = metrics.paired(table["label"], table["logit"], noisy)
    shuffled = other.sample(frac=1, random_state=2)
    assert predictions.compare(table, shuffled) == expected
    by_row = metrics.paired(table["label"], table["logit"], shuffled["logit"])
    assert by_row != expected


def test_compare_refuses_other_windows():
    table = made_up(5, 5)
    with pytest.raises(InputError, match="1 ids are only in the first and 0 only in"):
        predictions.compare(table, table.iloc[1:])
    with pytest.raises(InputError, match="10 of 10 differ"):
        predictions.compare(table, table.assign(label=1 - table["label"]))


def test_each_two_are_compared_once_unless_pairs_are_named():
    good = made_up(200, 200)
    noisy = good["logit"] + np.random.default_rng(2).normal(size=400) * 3
    poor = good.assign(logit=noisy).sample(frac=1, random_state=1)
    tables = {"good": good, "poor": poor, "again": good}
    rows = predictions.differences(tables)
    pairs = list(zip(rows["first"], rows["second"]))
    assert pairs == [("good", "poor"), ("good", "again"), ("poor", "again")]
    expected = predictions.compare(good, poor)
    first = rows.iloc[0]
    assert (first["difference"], first["p"]) == (expected.value, expected.p)
    assert first["low"] > 0
    assert (rows.iloc[1]["difference"], rows.iloc[1]["p"]) == (0, 1)
    assert rows.iloc[2]["difference"] == -first["difference"]
    [only] = predictions.differences(tables, [("poor", "good")]).itertuples()
    assert (only.first, only.second) == ("poor", "good")
    assert only.difference == -first["difference"]
    assert not len(predictions.differences({"good": good}))


def test_a_runs_area_is_read_with_its_interval():
    named, _ = predictions.summary(made_up(100, 100), "gate")
    area = predictions.area_of(named, "gate")
    expected = [named[f"gate/roc_auc{end}"] for end in ("", "_low", "_high")]
    assert [area.value, area.low, area.high] == expected
    assert str(area) == "{:.4f} ({:.4f} to {:.4f})".format(*expected)
    assert predictions.area_of(named) is None


def disturbed(table, windows):
    """A table whose last rows have glitches: tuples of (kind, detector, SNR)."""
    without = dict.fromkeys(GLITCHES, "") | dict.fromkeys(GLITCH_SNRS, 0.0)
    table = table.assign(**without)
    for row, found in zip(table.index[::-1], windows):
        for kind, detector, snr in found:
            table.loc[row, [f"glitch_{detector}", f"glitch_snr_{detector}"]] = kind, snr
    return table


def test_false_alarms_are_counted_by_the_loudest_glitch():
    """By hand: of 1,000 noise windows the ten with the highest logits pass 0.01."""
    blip, tomte, koi = ("blip", "L1", 14), ("tomte", "H1", 9), ("koi_fish", "V1", 90)
    table = disturbed(made_up(20, 1000), [[blip], [tomte, koi], [blip, tomte], [tomte]])
    # A signal's glitch is not counted.
    table.loc[0, ["glitch_H1", "glitch_snr_H1"]] = "whistle", 40
    noise = table.index[table["label"] == 0]
    logit = np.linspace(-1, 0, 1000)
    # Of two blips the first is the loudest of all, the second stays below; the koi fish
    # is the tenth and the tomte the eleventh.
    logit[[-1, -2, -3, -4]] = 9.0, 0.5, -2.0, 0.4
    logit[:8] = 1.0
    table.loc[noise, "logit"] = logit
    counted = predictions.by_glitch(table)
    rows = counted.set_index("kind")
    assert list(rows.index) == ["blip", "koi_fish", "tomte", ""]
    assert list(rows["windows"]) == [2, 1, 1, 996]
    assert list(rows[0.01]) == [1, 1, 0, 8]
    assert list(rows[0.001]) == [1, 0, 0, 0]
    few = predictions.by_glitch(table.tail(200))
    assert list(few.columns) == ["kind", "windows", 0.01]
    assert list(few["windows"]) == [2, 1, 1, 196]


def test_only_some_tables_tell_of_glitches():
    table = made_up(3, 3)
    assert not predictions.has_glitches(table)
    assert predictions.has_glitches(disturbed(table, []))
    assert not predictions.has_glitches(disturbed(table, []).drop(columns="glitch_V1"))
    assert len(predictions.by_glitch(disturbed(table.head(3), []))) == 0


def test_predictions_are_read_as_they_were_written(tmp_path):
    rows = {"id": ["a", "b"], "split": "gate", "label": [0, 1], "logit": [0.5, 1.0]}
    table = pd.DataFrame(rows | {"network_snr": [np.nan, 8.0]})
    predictions.write(tmp_path, {"gate": table})
    path = tmp_path / "predictions" / "gate.parquet"
    pd.testing.assert_frame_equal(predictions.read(path), table)
    whole = path.read_bytes()
    for body in (whole[:-9], b"", b"id,split\n"):
        path.write_bytes(body)
        with pytest.raises(InputError, match="gate.parquet: expected predictions in P"):
            predictions.read(path)
    for name in ("logit", "label", "network_snr"):
        table.assign(**{name: [[1.0], [2.0]]}).to_parquet(path)
        with pytest.raises(InputError, match=f"gate.parquet: .*numbers .* {name}; rec"):
            predictions.read(path)
    table.assign(id=[["a"], ["b"]]).to_parquet(path)
    with pytest.raises(InputError, match="gate.parquet: expected ids as text"):
        predictions.read(path)
