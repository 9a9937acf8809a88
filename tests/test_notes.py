"""What a run's page says."""

import numpy as np
import pandas as pd

from gwres import evaluate, metrics, notes
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
    for one in both:
        assert show(metrics.roc_auc(one["label"], one["logit"])) in text
    assert show(evaluate.compare(*both)) in text
    bins = evaluate.by_snr(table)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + len(bins)
    assert show(bins[0].measure) in rows[1]
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
