"""One table holds every name that gwres gives in MLflow."""

import re
from pathlib import Path

import pytest

from gwres.tracking import tags

ROOT = Path(__file__).parents[2] / "gwres"
OWN = re.compile(r"[\"'](gwres\.[a-z_]+|mlflow\.[a-zA-Z.]+)[\"']")
CONSTANTS = {
    value
    for name, value in vars(tags).items()
    if name.isupper() and isinstance(value, str)
}


def literals():
    """Names of tags and metrics that stand as text in other modules."""
    metrics = "|".join(map(re.escape, sorted(tags.METRICS)))
    for path in sorted(ROOT.rglob("*.py")):
        if path.name == "tags.py":
            continue
        text = path.read_text()
        for match in OWN.finditer(text):
            if match.group(1) in {*tags.TAGS, *CONSTANTS}:
                yield f"{path.relative_to(ROOT)}: {match.group(1)}"
        for match in re.finditer(rf"[\"']({metrics})[\"']", text):
            yield f"{path.relative_to(ROOT)}: {match.group(1)}"


def test_no_other_module_spells_a_name():
    assert list(literals()) == []


def test_every_constant_is_in_the_table_and_means_something():
    own = {value for value in CONSTANTS if value.startswith("gwres.")}
    assert own - {tags.HOLDOUT} <= set(tags.TAGS)
    assert all(name.startswith("gwres.") for name in tags.TAGS)
    metrics = {value for value in CONSTANTS if "/" in value}
    assert all(tags.known(name) for name in metrics)
    assert min(map(len, (*tags.TAGS.values(), *tags.METRICS.values()))) > 5


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("holdout/roc_auc", True),
        ("gate/tpr_at_fpr_0.001", True),
        ("matched_filter/roc_auc_snr_15_up", True),
        ("difference/models:/a/1 less matched-filter", True),
        ("roc_auc/resnet34-templates seed 2", True),
        ("holdout/f1", False),
        ("loss", False),
    ],
)
def test_a_metric_is_known_by_its_pattern(name, known):
    assert tags.known(name) == known
