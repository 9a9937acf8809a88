"""The comparison says what its tables hold, whatever the order of their rows."""

import numpy as np
import pandas as pd
import pytest

from gwres import comparison, evaluate
from gwres.errors import InputError


def table(seed, strength, rows=400):
    """Predictions of one set of windows, by a model that finds some of the signals."""
    label = np.arange(rows) % 2
    snr = np.where(label, 4 + np.arange(rows) % 7, np.nan)
    noise = np.random.default_rng(seed).normal(size=rows)
    logit = noise + strength * label
    ids = [f"{i:05d}" for i in range(rows)]
    columns = {"id": ids, "split": "gate", "label": label, "logit": logit}
    made = pd.DataFrame(columns | {"network_snr": snr})
    return made.sample(frac=1, random_state=seed, ignore_index=True)


TABLES = {"good": table(1, 2.0), "poor": table(2, 0.5), "again <b>": table(1, 2.0)}


def test_each_pair_is_compared_once():
    found = comparison.pairs(TABLES)
    assert list(zip(found["first"], found["second"])) == [
        ("good", "poor"),
        ("good", "again <b>"),
        ("poor", "again <b>"),
    ]
    expected = evaluate.compare(TABLES["good"], TABLES["poor"])
    row = found.iloc[0]
    assert (row["difference"], row["p"]) == (expected.value, expected.p)
    assert row["low"] > 0
    assert (found.iloc[1]["difference"], found.iloc[1]["p"]) == (0, 1)
    assert found.iloc[2]["difference"] == -row["difference"]


def test_report_shows_every_model_and_every_difference(tmp_path):
    path = comparison.report(tmp_path, "Three", TABLES, {"Settings": {"split": "gate"}})
    text = path.read_text()
    area = evaluate.summary(TABLES["poor"])[0]["holdout/roc_auc"]
    found = comparison.pairs(TABLES).iloc[0]
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


def test_one_alone_has_no_differences(tmp_path):
    text = comparison.report(tmp_path, "One", {"good": TABLES["good"]}).read_text()
    assert "Differences" not in text


def test_other_windows_are_refused(tmp_path):
    fewer = {"good": TABLES["good"], "poor": TABLES["poor"][:-1]}
    with pytest.raises(InputError, match="the same windows"):
        comparison.report(tmp_path, "Two", fewer)
    assert not list(tmp_path.iterdir())
