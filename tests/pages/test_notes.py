"""What a run's page says."""

import re

import numpy as np
import pandas as pd

from gwres.judging import metrics, predictions
from gwres.pages import notes
from gwres.pages.markdown import GAP
from tests.judging.test_predictions import made_up

COST = {
    "cost/train_core_seconds": 628.4,
    "cost/windows_per_core_second": 636.6,
    "cost/parameters": 461188,
}


def test_a_finished_run_tells_its_numbers_and_where_to_look():
    table = made_up(300, 300)
    noisy = table["logit"] + np.random.default_rng(1).normal(size=600)
    both = table, table.assign(logit=noisy)
    text = notes.trained("net", both, ("7", "abc"), COST, "mlflow run .", "STUDY")
    assert f"| Network SNR{GAP} | Signals{GAP} |" in text
    for one in both:
        assert str(metrics.roc_auc(one["label"], one["logit"])) in text
    assert str(predictions.compare(*both)) in text
    bins = predictions.by_snr(table)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + len(bins)
    assert str(bins[0].measure) in rows[2]
    assert "628 core-seconds" in text and "461,188 parameters" in text
    assert "#/experiments/7/runs/abc/artifacts/report.html" in text
    assert "get-artifact?path=plots%2Fsensitivity.png&run_uuid=abc" in text
    assert "STUDY" in text and "mlflow run ." in text


def test_a_run_of_few_rows_says_so():
    one = made_up(3, 0)
    text = notes.trained("net", (one, one), ("7", "abc"), COST, "mlflow run .")
    assert "one class only" in text and "roc.png" not in text
    unknown = made_up(20, 20).assign(network_snr=np.nan)
    text = notes.trained("net", (unknown, unknown), ("7", "abc"), COST, "again")
    assert "| " not in text and "roc.png" in text and "sensitivity.png" not in text


def test_a_study_names_its_best_trial():
    table = pd.DataFrame(
        {
            "number": [0, 1, 2],
            "state": ["complete", "complete", "pruned"],
            "value": [0.7, 0.75, 0.9],
        }
    )
    text = notes.study("s", table, {"dropout": 0.2, "warmup": 0.8})
    assert "3 trials, 2 of them complete" in text
    assert "trial 1 is the best, val/roc_auc 0.7500" in text
    assert "warmup 80%, dropout 20%" in text
    assert "Importance" not in notes.study("s", table, {})


def test_a_trial_is_one_line():
    line = notes.trial(3, "pruned", {"dropout": 0.123456}, [0.6, 0.7, 0.65])
    expected = "Trial 3, pruned after 3 epochs, best val/roc_auc 0.7000: dropout 0.123."
    assert line == expected
    assert "failed after 0 epochs, no epoch" in notes.trial(0, "failed", {}, [])


def test_a_judged_model_has_the_numbers_of_a_training_without_its_cost():
    table = made_up(300, 300)
    both = table, table.assign(logit=-table["logit"])
    text = notes.judged("models:/net/1", both, ("7", "abc"))
    assert text.startswith("### models:/net/1\n")
    assert str(predictions.compare(*both)) in text and "| Network SNR" in text
    assert "#/experiments/7/runs/abc/artifacts/report.html" in text
    assert "plots%2Froc.png" in text and "Cost" not in text


def test_several_models_have_a_table_of_differences():
    first = made_up(100, 100)
    tables = {
        "models:/net/1": first,
        "models:/net/2": first.assign(logit=-first["logit"]),
        "matched-filter": first.assign(logit=np.arange(200.0)),
    }
    pairs = predictions.differences(tables)
    text = notes.compared(tables, pairs, ("7", "abc")).replace(GAP, "")
    assert "3 models compared" in text
    for table in tables.values():
        assert str(metrics.roc_auc(table["label"], table["logit"])) in text
    for name, count in (("models:/net/1", 2), ("models:/net/2", 1)):
        assert text.count(f"\n| {name} | ") == count
    assert f"{pairs['difference'][0]:+.4f}" in text
    assert "[net, version 2](#/models/net/versions/2)" in text
    assert "`matched-filter`" in text and "plots%2Froc.png&run_uuid=abc" in text
    alone = {"matched-filter": first}
    text = notes.compared(alone, predictions.differences(alone), ("7", "abc"))
    assert text.startswith("### matched-filter") and "Differences" not in text


def test_an_experiment_begins_with_its_question():
    found = pd.DataFrame({"name": ["a", "b"] * 20, "ROC-AUC": ["0.8"] * 40})
    text = notes.answered("Is it so?", "- yes", found, ("7", "abc"), ["plots/a b.png"])
    text = text.replace(GAP, "")
    assert text.startswith("### Is it so?\n\n- yes\n\n| name | ROC-AUC |")
    assert text.count("| a | 0.8 |") == 15 and "10 more rows" in text
    assert "#/experiments/7/runs/abc/artifacts/table.html" in text
    assert "![a b](get-artifact?path=plots%2Fa%20b.png&run_uuid=abc)" in text


def test_a_submission_counts_its_windows_and_names_its_model():
    files = ["submission.csv", "submission.bad.csv"]
    uri = "models:/gwres-ensemble/2"
    text = notes.predicted(uri, "/data", (1000, 3), ("7", "abc"), files)
    assert "1,000 windows" in text and "**997**" in text and "**3** could not" in text
    assert "[gwres-ensemble, version 2](#/models/gwres-ensemble/versions/2)" in text
    assert "#/experiments/7/runs/abc/artifacts/submission.bad.csv" in text


def test_a_data_set_says_what_trains_on_it():
    text = notes.simulated("/data/set", "loud", (200, 4), "mlflow run . -P data=x")
    assert "204 windows" in text and "`loud`" in text
    assert "```\nmlflow run . -P data=x\n```" in text


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
    text = notes.promoted(
        "net", evidence(), ("7", "abc"), "mlflow run . back", "0.8515"
    )
    text = text.replace(GAP, "")
    assert text.startswith("### Promoted: it beats the champion")
    assert "**Candidate** [net, version 3](#/models/net/versions/3)" in text
    assert "**Champion until now** [net, version 2](#/models/net/versions/2)" in text
    for split in ("gate", "holdout"):
        row = "4,000 | 0.8500 (0.8400 to 0.8600) | +0.0010 (-0.0020 to +0.0040) | 0.5"
        assert f"| {split} | {row} |" in text
    assert "| resnet18-templates | 0.7500 | 0.8400 | " in text
    assert "(#/models/gwres-resnet18/versions/2)" in text
    assert "[bbbbbbbb](#/experiments/7/runs/" + "b" * 32 in text
    assert "| gwres-resnet34 | [cccccccc](#/experiments/8/runs/" in text
    assert "```\nmlflow run . back\n```" in text
    assert "0.8515" in text and "decision.json" in text and "roc.png" in text


def test_what_was_not_promoted_has_no_way_back():
    changes = {"promoted": False, "passed": False}
    first = evidence(champion=None)
    assert "Undo" not in notes.promoted("net", first, ("7", "abc"), "back")
    text = notes.promoted("net", evidence(**changes), ("7", "abc"), "back")
    assert text.startswith("### Not promoted: ") and "Undo" not in text
    changes |= {"dry": True, "passed": True, "version": None, "champion": None}
    found = evidence(**changes)
    del found["holdout"]
    text = notes.promoted("net", found, ("7", "abc"), "back")
    assert text.startswith("### Dry run, passed: ")
    assert "net, unregistered" in text and "**Champion until now** none" in text
    assert "| holdout" not in text and "roc.png" not in text


def test_a_rollback_names_both_versions_and_its_own_undoing():
    text = notes.rolled_back("net", "1", "3", "0.8500 (0.84 to 0.86)", "abc", "again")
    assert "version 3 to version 1" in text and "holdout ROC-AUC 0.8500" in text
    assert text.index("(#/models/net/versions/1)") < text.index("versions/3)")
    assert "```\nagain\n```" in text and "run_uuid=abc" in text
    assert "ROC-AUC" not in notes.rolled_back("net", "1", "3", "", "abc", "again")


def test_a_version_says_what_it_is_how_good_and_where_it_comes_from():
    text = notes.version("resnet34", "0.85 (a to b)", "0.86 (c to d)", ("7", "abc"))
    assert text.startswith("ROC-AUC 0.85 (a to b) on the holdout; ")
    assert "**resnet34**" in text
    assert "matched filter on the same windows: 0.86 (c to d)" in text
    assert "[abc](#/experiments/7/runs/abc)" in text and "roc.png" in text
    text = notes.version("resnet34", "", "", ("7", "abc"), ["more"])
    assert "ROC-AUC unknown" in text and "more" in text and "roc.png" not in text


def test_registered_models_say_what_they_take_and_how_they_are_served():
    assert "`resnet50-waveform`" in notes.member_model("resnet50-waveform")
    text = notes.ensemble_model("net", "champion", "previous")
    assert "(n, 3, 4096)" in text
    assert re.search(r"models serve -m models:/net@champion", text)
