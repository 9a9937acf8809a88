"""Notes hold the numbers, the links, the figures and the commands that belong there.

Their wording is nobody's contract, so it is not tested.
"""

import re

import numpy as np
import pandas as pd

from gwres.judging import metrics, predictions
from gwres.judging.metrics import Difference, Interval
from gwres.pages import notes, searched
from gwres.pages.markdown import GAP
from tests.judging.test_predictions import made_up

from .test_searched import INJECTED, SEARCHED_S, alone, found, reached

PLACE = ("7", "abc")
COST = {
    "cost/train_core_seconds": 628.4,
    "cost/windows_per_core_second": 636.6,
    "cost/parameters": 461188,
}


def rows(text):
    """The cells of a note's tables, without heads."""
    lines = [line for line in text.replace(GAP, "").splitlines() if line[:2] == "| "]
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
    return [row for row in cells if not set(row[0]) <= {"-"}]


def links(text):
    """Where a note leads to."""
    return set(re.findall(r"\]\((#[^)]+)\)", text))


def figures(text):
    """Paths of the figures that a note shows."""
    return re.findall(r"get-artifact\?path=([^&]+)&run_uuid=abc", text)


def commands(text):
    """What a note gives to type."""
    return re.findall(r"```\n(.+)\n```", text)


def test_a_finished_run_tells_its_numbers_and_where_to_look():
    table = made_up(300, 300)
    noisy = table["logit"] + np.random.default_rng(1).normal(size=600)
    both = table, table.assign(logit=noisy)
    evidence = table.assign(logit=table["logit"] + noisy)
    classical = {"matched filter": both[1], "coherent evidence": evidence}
    said = "ADDED", "STUDY"
    text = notes.trained("net", table, classical, PLACE, COST, "mlflow run .", *said)
    for one in both:
        assert str(metrics.roc_auc(one["label"], one["logit"])) in text
    assert str(predictions.compare(*both)) in text
    bins = predictions.by_snr(table)
    shown = rows(text)[1:]
    for place, one in enumerate((*both, evidence), 2):
        measured = [str(one.measure) for one in predictions.by_snr(one)]
        assert [row[place] for row in shown] == measured
    assert [row[1] for row in shown] == [f"{one.count:,}" for one in bins]
    assert {"628", "637", "461,188"} <= set(re.findall(r"[\d,]+\d", text))
    assert "#/experiments/7/runs/abc/artifacts/report.html" in links(text)
    assert figures(text) == ["plots%2Froc.png", "plots%2Fsensitivity.png"]
    assert commands(text) == ["mlflow run ."] and "STUDY" in text
    assert text.count("ADDED") == 1


def test_a_run_of_few_rows_shows_what_it_can():
    one = made_up(3, 0)
    classical = {"matched filter": one}
    text = notes.trained("net", one, classical, PLACE, COST, "mlflow run .")
    assert not rows(text) and not figures(text)
    unknown = made_up(20, 20).assign(network_snr=np.nan)
    classical = {"matched filter": unknown}
    text = notes.trained("net", unknown, classical, PLACE, COST, "again")
    assert not rows(text) and figures(text) == ["plots%2Froc.png"]


def test_a_study_names_its_best_complete_trial():
    table = pd.DataFrame(
        {
            "number": [0, 1, 2],
            "state": ["complete", "complete", "pruned"],
            "value": [0.7, 0.75, 0.9],
        }
    )
    text = notes.study("s", table, {"dropout": 0.2, "warmup": 0.8})
    assert "trial 1 " in text and "0.7500" in text and "0.9" not in text
    assert text.index("warmup 80%") < text.index("dropout 20%")
    assert "%" not in notes.study("s", table, {})


def test_a_trial_tells_its_state_its_best_and_its_settings():
    line = notes.trial(3, "pruned", {"dropout": 0.123456}, [0.6, 0.7, 0.65])
    assert "pruned" in line and "0.7000" in line and "dropout 0.123" in line
    assert "failed" in notes.trial(0, "failed", {}, [])


def test_a_judged_model_has_the_numbers_of_a_training_without_its_cost():
    table = made_up(300, 300)
    both = table, table.assign(logit=-table["logit"])
    classical = {"matched filter": both[1]}
    text = notes.judged("models:/net/1", table, classical, PLACE)
    assert str(predictions.compare(*both)) in text and rows(text)
    assert "#/experiments/7/runs/abc/artifacts/report.html" in links(text)
    assert figures(text)[0] == "plots%2Froc.png" and not commands(text)


def test_several_models_have_a_table_of_differences():
    first = made_up(100, 100)
    tables = {
        "models:/net/1": first,
        "models:/net/2": first.assign(logit=-first["logit"]),
        "matched-filter": first.assign(logit=np.arange(200.0)),
    }
    pairs = predictions.differences(tables)
    text = notes.compared(tables, pairs, PLACE)
    areas = rows(text)[1:4]
    for row, table in zip(areas, tables.values()):
        assert row[1] == str(metrics.roc_auc(table["label"], table["logit"]))
    shown = rows(text)[5:]
    expected = [
        str(Difference(pair.difference, pair.low, pair.high, pair.p))
        for pair in pairs.itertuples()
    ]
    assert [row[2] for row in shown] == expected
    assert {"#/models/net/versions/1", "#/models/net/versions/2"} <= links(text)
    assert figures(text) == ["plots%2Froc.png"]
    alone = {"matched-filter": first}
    text = notes.compared(alone, predictions.differences(alone), PLACE)
    assert len(rows(text)) == 2


def test_an_experiment_begins_with_its_question_and_its_answer():
    table = pd.DataFrame({"name": ["a", "b"] * 20, "ROC-AUC": ["0.8"] * 40})
    text = notes.answered("Is it so?", "- yes", table, PLACE, ["plots/a b.png"])
    assert text.startswith("### Is it so?\n\n- yes\n\n|")
    assert len(rows(text)) == 1 + notes.ROWS and " 10 " in f" {text}".replace("\n", " ")
    assert "#/experiments/7/runs/abc/artifacts/table.html" in links(text)
    assert figures(text) == ["plots%2Fa%20b.png"]


def test_a_submission_counts_its_windows_and_names_its_model():
    files = ["submission.csv", "submission.bad.csv"]
    uri = "models:/gwres-ensemble/2"
    text = notes.predicted(uri, "/data", (1000, 3), PLACE, files)
    assert {"1,000", "997", "3"} <= set(re.findall(r"[\d,]*\d", text))
    assert "#/models/gwres-ensemble/versions/2" in links(text)
    paths = {f"#/experiments/7/runs/abc/artifacts/{name}" for name in files}
    assert paths <= links(text)


def test_a_search_begins_with_its_headline():
    table, both = found(), (INJECTED, reached())
    text = notes.searched("O1", table, SEARCHED_S, PLACE, "mlflow run .", both)
    headline = searched.headline(table, SEARCHED_S)
    assert text.startswith(f"### O1\n\n{headline}\n\n|")
    shown = rows(text)
    assert shown[1] == [
        *("1126259462.41", "2015-09-14 09:50:45.41", "31.42", "H1 L1"),
        *("< 112.7", "> 3.2 days", "< 0.025"),
    ]
    assert [row[0] for row in shown[1:6]] == [f"{x:.2f}" for x in table["time"][:5]]
    assert "7 more candidates" in text
    assert shown[7:] == [list(row) for row in searched.reached_rows(reached())]
    assert "#/experiments/7/runs/abc/artifacts/report.html" in links(text)
    assert commands(text) == ["mlflow run ."]
    names = ["statistic", "ifar", "candidates"]
    assert figures(text) == [f"plots%2F{name}.png" for name in names]


def test_a_search_shows_the_figures_that_there_are():
    text = notes.searched("O1", alone(), SEARCHED_S, PLACE, "again")
    assert rows(text)[1][4:] == ["not known"] * 3 and "more candidates" not in text
    assert figures(text) == ["plots%2Fstatistic.png", "plots%2Fcandidates.png"]
    text = notes.searched("O1", found(0), SEARCHED_S, PLACE, "again")
    assert not rows(text) and figures(text) == ["plots%2Fstatistic.png"]


def test_a_data_set_says_what_trains_on_it():
    text = notes.simulated(
        "/data/set", "volumetric", (200, 4), "mlflow run . -P data=x"
    )
    assert "204" in text and "`volumetric`" in text
    assert commands(text) == ["mlflow run . -P data=x"]


AREA = {"value": 0.85, "low": 0.84, "high": 0.86}
LESS = {"value": 0.001, "low": -0.002, "high": 0.004, "p": 0.5}


def evidence(**changes):
    """What `decision.json` holds, as far as it is read."""
    members = [
        {"model": "gwres-resnet18", "version": 2, "run": "b" * 32, "experiment": "7"}
        | {"kind": "resnet18-templates", "score": 0.84, "weight": 0.75},
        {"model": "gwres-resnet34", "version": None, "run": "c" * 32, "experiment": "8"}
        | {"kind": "resnet34-waveform", "score": 0.82, "weight": 0.0},
    ]
    judged = {"windows": 4000, "roc_auc": AREA, "less": {"average": AREA, "best": LESS}}
    return {
        "version": 3,
        "champion": 2,
        "promoted": True,
        "passed": True,
        "dry": False,
        "reason": "it beats the champion",
        "metric": "val/roc_auc",
        "members": members,
        "stack": {"kind": "logistic"},
        "stack_reason": "it is better on rows not fitted",
        "gate": judged,
        "holdout": judged,
    } | changes


def test_a_promotion_tells_decision_numbers_members_and_the_way_back():
    beside = Interval(0.8515, 0.84, 0.86)
    text = notes.promoted("net", evidence(), PLACE, "mlflow run . back", beside)
    assert "it beats the champion" in text.splitlines()[0] and str(beside) in text
    shown = rows(text)
    for split in ("gate", "holdout"):
        less = Difference(**LESS)
        assert [split, "4,000", str(Interval(**AREA)), str(less), "0.5"] in shown
    [first, second] = shown[-2:]
    assert first[:3] == ["resnet18-templates", "0.7500", "0.8400"]
    assert second[3] == "gwres-resnet34", "it has no version to link to"
    assert {f"#/models/net/versions/{number}" for number in (2, 3)} <= links(text)
    assert "#/models/gwres-resnet18/versions/2" in links(text)
    assert f"#/experiments/7/runs/{'b' * 32}" in links(text)
    assert commands(text) == ["mlflow run . back"]
    assert figures(text) == ["plots%2Froc.png"]


def test_what_was_not_promoted_has_no_way_back():
    first = evidence(champion=None)
    assert not commands(notes.promoted("net", first, PLACE, "back"))
    changes = {"promoted": False, "passed": False}
    assert not commands(notes.promoted("net", evidence(**changes), PLACE, "back"))
    changes |= {"dry": True, "passed": True, "version": None, "champion": None}
    tried = evidence(**changes)
    del tried["holdout"]
    text = notes.promoted("net", tried, PLACE, "back")
    assert not figures(text) and not commands(text)
    assert "holdout" not in [row[0] for row in rows(text)]


def test_every_outcome_has_words_of_its_own():
    outcomes = [
        notes.outcome(evidence(dry=dry, passed=passed, promoted=passed and not dry))
        for dry in (False, True)
        for passed in (False, True)
    ]
    assert len(set(outcomes)) == 4


def test_a_rollback_names_both_versions_and_its_own_undoing():
    area = Interval(0.85, 0.84, 0.86)
    text = notes.rolled_back("net", "1", "3", area, "abc", "again")
    assert {"#/models/net/versions/1", "#/models/net/versions/3"} == links(text)
    assert str(area) in text and commands(text) == ["again"] and figures(text)
    assert not figures(notes.rolled_back("net", "1", "3", None, "abc", "again"))


def test_a_version_says_how_good_it_is_and_where_it_comes_from():
    areas = Interval(0.85, 0.84, 0.86), Interval(0.86, 0.85, 0.87)
    text = notes.version("resnet34", *areas, PLACE)
    # MLflow's list of versions shows the first words alone.
    assert str(areas[0]) in text.splitlines()[0]
    assert str(areas[1]) in text and "resnet34" in text
    assert links(text) == {"#/experiments/7/runs/abc"} and figures(text)
    text = notes.version("resnet34", None, None, PLACE, ["more"])
    assert "more" in text and not figures(text)


def test_registered_models_say_what_they_are_and_how_they_are_served():
    assert "resnet50-waveform" in notes.member_model("resnet50-waveform")
    [serve] = commands(notes.ensemble_model("net", "champion", "previous"))
    assert "models:/net@champion" in serve
