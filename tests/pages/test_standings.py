"""The table of an experiment, and what its members are worth together."""

import numpy as np
import pandas as pd
import pytest

from gwres.judging import predictions
from gwres.pages import standings
from gwres.training.recipe import Recipe

COUNT = 4000


def made_up(seed, noise, splits=("validation", "stack", "holdout")):
    """Logits that share their truth, each scorer with errors of its own."""
    tables = {}
    for place, split in enumerate(splits):
        truth = np.random.default_rng(place)
        labels = truth.integers(2, size=COUNT)
        snrs = np.where(labels == 1, truth.uniform(2, 12, COUNT), np.nan)
        own = np.random.default_rng([seed, place]).normal(size=COUNT)
        tables[split] = pd.DataFrame(
            {
                "id": [f"{split}{i}" for i in range(COUNT)],
                "split": split,
                "label": labels,
                "logit": 2 * labels - 1 + noise * own,
                "network_snr": snrs,
            }
        )
    return tables


@pytest.fixture(scope="module")
def members():
    return {"good": made_up(1, 1.5), "fair": made_up(2, 2.5)}


def area(table):
    return standings.row({"holdout": table})["roc_auc"]


def test_rows_hold_the_reports_metrics(members):
    row = standings.row(members["good"])
    named, _ = predictions.summary(members["good"]["holdout"])
    assert row["roc_auc_snr_4_6"] == named["holdout/roc_auc_snr_4_6"]
    assert row["tpr_at_fpr_0.001"] == named["holdout/tpr_at_fpr_0.001"]
    assert row["val_roc_auc"] == pytest.approx(row["roc_auc"], abs=0.03)
    assert "val_roc_auc" not in standings.row({"holdout": members["good"]["holdout"]})


def test_what_is_over_the_evidence_stands_beside_the_area(members):
    good, fair = (one["holdout"] for one in members.values())
    over = standings.over(good, fair)
    less = predictions.compare(good, fair)
    assert list(over.values()) == [less.value, less.low, less.high]
    assert standings.over(fair, fair) == {}
    rows = {
        "good": standings.row({"holdout": good}) | {"run": "a"} | over,
        "fair": standings.row({"holdout": fair}),
    }
    made = standings.table(rows)
    names = list(made)
    assert names.index("over_evidence") == names.index("roc_auc") + 1
    shown = standings.readable(made)
    assert list(shown["less the evidence"]) == [str(less), ""]
    assert not [name for name in shown if name.startswith("over_")]


def test_settings_that_vary_are_columns():
    one, two = Recipe(), Recipe().vary({"norm": "group", "seed": 3})
    found = standings.varied({"one": one, "two": two})
    assert found["one"] == {"depth": 34, "frontend": "templates", "norm": "none"}
    assert found["two"]["norm"] == "group"


def test_spread_over_seeds_is_paired():
    names = [f"{name} seed {seed}" for name in ("default", "wide") for seed in range(3)]
    areas = np.array([0.80, 0.82, 0.84, 0.81, 0.83, 0.85])
    chosen = [0.79, 0.80, 0.81, 0.81, 0.83, 0.82]
    members = pd.DataFrame({"name": names, "roc_auc": areas, "val_roc_auc": chosen})
    found = standings.spread(members)
    assert list(found["name"]) == ["default", "wide"]
    assert found["deviation"].tolist() == pytest.approx([0.02, 0.02])
    # Settings are chosen by validation, so that is what is held against another.
    assert found["val_difference"].tolist() == pytest.approx([0, 0.02])
    # Student's 97.5% quantile of two degrees of freedom is 4.303.
    half = 4.303 * 0.02 / np.sqrt(3)
    assert found["roc_auc_high"][0] == pytest.approx(0.82 + half, abs=1e-5)
    assert found["roc_auc_low"][1] == pytest.approx(0.83 - half, abs=1e-5)
    error = 0.01 / np.sqrt(3)
    assert found["val_error"].tolist() == pytest.approx([0, error], abs=1e-12)
    unjudged = standings.spread(members.drop(columns="val_roc_auc"))
    assert unjudged["val_difference"].isna().all()
    assert unjudged["roc_auc"].tolist() == pytest.approx([0.82, 0.83])
    alone = pd.DataFrame({"name": ["a", "b"], "roc_auc": [0.5, 0.6]})
    assert not len(standings.spread(alone))


def test_a_table_is_read_with_its_intervals(members):
    measured = standings.row(members["good"])
    rows = {"good": {"depth": 18, "samples": 64, "core_seconds": 1234.5} | measured}
    rows["bad"] = {"run": "FAILED: abc"}
    text = standings.markdown(standings.readable(standings.table(rows)))
    lines = text.splitlines()
    assert len(lines) == 4
    assert "| SNR 4 to 6 |" in lines[0]
    assert "| good | 18 | 64 | 1,234 | 0." in lines[2]
    assert " to 0." in lines[2]
    assert "nan" not in lines[3]
    assert "FAILED: abc" in lines[3]
