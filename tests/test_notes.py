"""What a run's page says."""

import numpy as np
import pandas as pd

from gwres import comparison, evaluate, metrics, notes
from gwres.markdown import GAP
from gwres.report import show

from .test_evaluate import predictions

COST = {
    "cost/train_core_seconds": 628.4,
    "cost/windows_per_core_second": 636.6,
    "cost/parameters": 461188,
}


def test_a_finished_run_tells_its_numbers_and_where_to_look():
    table = predictions(300, 300)
    noisy = table["logit"] + np.random.default_rng(1).normal(size=600)
    both = table, table.assign(logit=noisy)
    text = notes.finished("net", both, ("7", "abc"), COST, "mlflow run .", "STUDY")
    assert f"| Network SNR{GAP} | Signals{GAP} |" in text
    for one in both:
        assert show(metrics.roc_auc(one["label"], one["logit"])) in text
    assert show(evaluate.compare(*both)) in text
    bins = evaluate.by_snr(table)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + len(bins)
    assert show(bins[0].measure) in rows[2]
    assert "628 core-seconds" in text and "461,188 parameters" in text
    assert "#/experiments/7/runs/abc/artifacts/report.html" in text
    assert "get-artifact?path=plots%2Fsensitivity.png&run_uuid=abc" in text
    assert "STUDY" in text and "mlflow run ." in text


def test_a_run_of_few_rows_says_so():
    one = predictions(3, 0)
    text = notes.finished("net", (one, one), ("7", "abc"), COST, "mlflow run .")
    assert "one class only" in text and "roc.png" not in text
    unknown = predictions(20, 20).assign(network_snr=np.nan)
    text = notes.finished("net", (unknown, unknown), ("7", "abc"), COST, "again")
    assert "| " not in text and "roc.png" in text and "sensitivity.png" not in text


def test_a_study_names_its_best_trial():
    table = pd.DataFrame(
        {
            "number": [0, 1, 2],
            "state": ["complete", "complete", "pruned"],
            "value": [0.7, 0.75, 0.9],
        }
    )
    text = notes.tuned("s", table, {"dropout": 0.2, "warmup": 0.8})
    assert "3 trials, 2 of them complete" in text
    assert "trial 1 is the best, val/roc_auc 0.7500" in text
    assert "warmup 80%, dropout 20%" in text
    assert "Importance" not in notes.tuned("s", table, {})


def test_a_trial_is_one_line():
    line = notes.trial(3, "pruned", {"dropout": 0.123456}, [0.6, 0.7, 0.65])
    expected = "Trial 3, pruned after 3 epochs, best val/roc_auc 0.7000: dropout 0.123."
    assert line == expected
    assert "failed after 0 epochs, no epoch" in notes.trial(0, "failed", {}, [])


def test_a_judged_model_has_the_numbers_of_a_training_without_its_cost():
    table = predictions(300, 300)
    both = table, table.assign(logit=-table["logit"])
    text = notes.judged("models:/net/1", both, ("7", "abc"))
    assert text.startswith("### models:/net/1\n")
    assert show(evaluate.compare(*both)) in text and "| Network SNR" in text
    assert "#/experiments/7/runs/abc/artifacts/report.html" in text
    assert "plots%2Froc.png" in text and "Cost" not in text


def test_several_models_have_a_table_of_differences():
    first = predictions(100, 100)
    tables = {
        "models:/net/1": first,
        "models:/net/2": first.assign(logit=-first["logit"]),
        "matched-filter": first.assign(logit=np.arange(200.0)),
    }
    pairs = comparison.pairs(tables)
    text = notes.compared(tables, pairs, ("7", "abc")).replace(GAP, "")
    assert "3 models compared" in text
    for table in tables.values():
        assert show(metrics.roc_auc(table["label"], table["logit"])) in text
    for name, count in (("models:/net/1", 2), ("models:/net/2", 1)):
        assert text.count(f"\n| {name} | ") == count
    assert f"{pairs['difference'][0]:+.4f}" in text
    assert "[net, version 2](#/models/net/versions/2)" in text
    assert "`matched-filter`" in text and "plots%2Froc.png&run_uuid=abc" in text
    alone = {"matched-filter": first}
    text = notes.compared(alone, comparison.pairs(alone), ("7", "abc"))
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
