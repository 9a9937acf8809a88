"""How MLflow's UI shows the runs: which columns, in what order, in which colours."""

import json

import mlflow

from gwres.plots import LOOKS

# The UI opens this view at /#/experiments/<id>/runs?QUERY, and its charts with &CHART;
# its sections are then those of trained models, not of language models.
KEY = "gwres"
SECTIONS = "workflowType=machine_learning"
QUERY = f"viewStateShareKey={KEY}&{SECTIONS}"
CHART = "compareRunsMode=CHART"
# Columns with their widths in pixels: names are long and would be cut off, and a
# usual screen has room for the first five.
COLUMNS = {
    "tags.`gwres.roc_auc`": 190,
    "attributes.`Models`": 160,
    "metrics.`holdout/roc_auc`": 130,
    "metrics.`matched_filter/roc_auc`": 165,
    "metrics.`cost/train_core_seconds`": 180,
    "metrics.`cost/parameters`": 130,
    "metrics.`holdout/tpr_at_fpr_0.01`": 180,
    "attributes.`Dataset`": 250,
}
# Charts that stand above those which MLflow makes of every metric by itself.
RESULT = {"uuid": "gwres-result", "name": "Result", "display": True}
SCORE, COST = "holdout/roc_auc", "cost/train_core_seconds"
CHARTS = (
    {"type": "BAR", "metricKey": SCORE, "runsCountToCompare": 20},
    {
        "type": "SCATTER",
        "xaxis": {"key": COST, "type": "METRIC"},
        "yaxis": {"key": SCORE, "type": "METRIC"},
        "runsCountToCompare": 100,
    },
    {
        "type": "LINE",
        "metricKey": "val/roc_auc",
        "selectedMetricKeys": ["val/roc_auc"],
        "lineSmoothness": 0,
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "range": {},
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
        "runsCountToCompare": 20,
    },
)
FIRST = ("0", "attributes.`Run Name`", "runDateAndNestInfo")  # MLflow's own
VIEW = {
    # A study's trials stand below the run that they were made for.
    "searchFilter": "tags.`gwres.entry` != 'trial'",
    "orderByKey": "metrics.`holdout/roc_auc`",
    "orderByAsc": False,
    "startTime": "ALL",
    "lifecycleFilter": "Active",
    "datasetsFilter": [],
    "modelVersionFilter": "All Runs",
    "selectedColumns": list(COLUMNS),
    "columnOrder": [*FIRST, *COLUMNS],
    "columnWidths": COLUMNS,
    # MLflow sorts its sections by name unless somebody has put them in another order.
    "isAccordionReordered": True,
    "compareRunSections": [RESULT | {"isReordered": True}],
    "compareRunCharts": [
        chart
        | {"uuid": f"gwres-{place}", "metricSectionId": RESULT["uuid"]}
        | {"deleted": False, "isGenerated": False}
        for place, chart in enumerate(CHARTS)
    ],
}
TAGS = {
    "mlflow.experimentKind": "custom_model_development",
    f"mlflow.sharedViewState.{KEY}": json.dumps(VIEW),
}
# Towards white or black by so much, so that front ends of one depth differ.
SHADES = {"templates": 0.0, "waveform": 0.45, "spectrogram": -0.4}


def prepare(experiment_id):
    """Give an experiment the view; what somebody has set already stays."""
    client = mlflow.MlflowClient()
    present = client.get_experiment(experiment_id).tags
    for name, value in TAGS.items():
        if name not in present:
            client.set_experiment_tag(experiment_id, name, value)


def colour(place, frontend):
    """A run's colour in all charts, one that colour-blind eyes can tell.

    Args:
        place: of the depth among the depths.
        frontend: its front end.

    Returns:
        "#rrggbb".
    """
    base = LOOKS[place % len(LOOKS)]["color"]
    shade = SHADES[frontend]
    end = 255 if shade > 0 else 0
    parts = [int(base[i : i + 2], 16) for i in (1, 3, 5)]
    mixed = [round(part + (end - part) * abs(shade)) for part in parts]
    return "#" + "".join(f"{part:02x}" for part in mixed)
