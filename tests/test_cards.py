"""What the registry says of its models, and a promotion of its decision."""

import re

from gwres import cards
from gwres.markdown import GAP

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
    text = cards.decided("net", evidence(), ("7", "abc"), "mlflow run . back", "0.8515")
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
    assert "Undo" not in cards.decided("net", first, ("7", "abc"), "back")
    text = cards.decided("net", evidence(**changes), ("7", "abc"), "back")
    assert text.startswith("### Not promoted: ") and "Undo" not in text
    changes |= {"dry": True, "passed": True, "version": None, "champion": None}
    found = evidence(**changes)
    del found["holdout"]
    text = cards.decided("net", found, ("7", "abc"), "back")
    assert text.startswith("### Dry run, passed: ")
    assert "net, unregistered" in text and "**Champion until now** none" in text
    assert "| holdout" not in text and "roc.png" not in text


def test_a_rollback_names_both_versions_and_its_own_undoing():
    text = cards.rolled_back("net", "1", "3", "0.8500 (0.84 to 0.86)", "abc", "again")
    assert "version 3 to version 1" in text and "holdout ROC-AUC 0.8500" in text
    assert text.index("(#/models/net/versions/1)") < text.index("versions/3)")
    assert "```\nagain\n```" in text and "run_uuid=abc" in text
    assert "ROC-AUC" not in cards.rolled_back("net", "1", "3", "", "abc", "again")


def test_a_version_says_what_it_is_how_good_and_where_it_comes_from():
    text = cards.version("resnet34", "0.85 (a to b)", "0.86 (c to d)", ("7", "abc"))
    assert text.startswith("ROC-AUC 0.85 (a to b) on the holdout; ")
    assert "**resnet34**" in text
    assert "matched filter on the same windows: 0.86 (c to d)" in text
    assert "[abc](#/experiments/7/runs/abc)" in text and "roc.png" in text
    text = cards.version("resnet34", "", "", ("7", "abc"), ["more"])
    assert "ROC-AUC unknown" in text and "more" in text and "roc.png" not in text


def test_registered_models_say_what_they_take_and_how_they_are_served():
    assert "depth 50" in cards.network("50")
    text = cards.ensemble("net", "champion", "previous")
    assert "(n, 3, 4096)" in text
    assert re.search(r"models serve -m models:/net@champion", text)
