"""MLflow's pages: how they show the runs, and the commands that lead to them."""

import json
import shlex
from pathlib import Path
from urllib.parse import unquote

import mlflow
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri
from sqlalchemy import make_url

from gwres.pages.markdown import SECTIONS, VIEW
from gwres.pages.plots import LOOKS
from gwres.tracking import runs
from gwres.tracking.tags import (
    ADDED,
    AREA,
    CORE_SECONDS,
    ENTRY,
    ENVIRONMENT,
    FILTER_AREA,
    HOLDOUT_AREA,
    PARAMETERS,
    SENSITIVITY,
    VAL_AREA,
)

# Columns with their widths in pixels: names are long and would be cut off, and a
# usual screen has room for the first five.
COLUMNS = {
    f"tags.`{AREA}`": 190,
    "attributes.`Models`": 160,
    f"metrics.`{HOLDOUT_AREA}`": 130,
    f"metrics.`{FILTER_AREA}`": 165,
    f"metrics.`{CORE_SECONDS}`": 180,
    f"metrics.`{PARAMETERS}`": 130,
    f"metrics.`{SENSITIVITY}`": 180,
    "attributes.`Dataset`": 250,
}
# Charts that stand above those which MLflow makes of every metric by itself.
RESULT = {"uuid": "gwres-result", "name": "Result", "display": True}
CHARTS = (
    # MLflow's bars begin at 0, where all areas look alike, and say 0.00 to 0.0049.
    {
        "type": "SCATTER",
        "xaxis": {"key": "model.depth", "type": "PARAM"},
        "yaxis": {"key": ADDED, "type": "METRIC"},
        "runsCountToCompare": 100,
    },
    {
        "type": "SCATTER",
        "xaxis": {"key": CORE_SECONDS, "type": "METRIC"},
        "yaxis": {"key": HOLDOUT_AREA, "type": "METRIC"},
        "runsCountToCompare": 100,
    },
    {
        "type": "LINE",
        "metricKey": VAL_AREA,
        "selectedMetricKeys": [VAL_AREA],
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
STATE = {
    # A study's trials stand below the run that they were made for.
    "searchFilter": f"tags.`{ENTRY}` != 'trial'",
    "orderByKey": f"metrics.`{HOLDOUT_AREA}`",
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
    f"mlflow.sharedViewState.{VIEW}": json.dumps(STATE),
}
# Towards white or black by so much, so that front ends of one depth differ.
SHADES = {"templates": 0.0, "waveform": 0.45, "spectrogram": -0.4}


def prepare(experiment_id):
    """Give an experiment the view; what somebody has set already stays."""
    client = mlflow.MlflowClient()
    # Asked now, for `command`: a server may be away when the run ends.
    runs.experiment(experiment_id, mlflow.get_tracking_uri())
    present = client.get_experiment(experiment_id).tags
    for name, value in TAGS.items():
        if name in present:
            continue
        try:
            client.set_experiment_tag(experiment_id, name, value)
        except mlflow.MlflowException:
            # Of two runs that begin at once a server's database refuses the later.
            if name not in client.get_experiment(experiment_id).tags:
                raise


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


def next_steps(reported=True):
    """The last lines on the screen: where the report is, what opens the UI, promotes.

    Args:
        reported: whether the present run has a report.

    Returns:
        list of three lines, or two.
    """
    run = runs.present()
    if is_local_uri(run.artifact_uri):
        folder = Path(local_file_uri_to_path(run.artifact_uri))
        report = str(folder / "report.html")
    else:
        report = f"mlflow artifacts download -r {run.id} -a report.html"
    page = f"/#/experiments/{run.experiment_id}/runs/{run.id}?{SECTIONS}"
    uri = mlflow.get_tracking_uri()
    if uri.startswith("http"):
        look = uri.rstrip("/") + page
    else:
        look = f"{server(uri)}  and open http://127.0.0.1:5000{page}"
    lines = [f"report   {report}"] if reported else []
    return [*lines, f"look     {look}", f"promote  {command('promote')}"]


def server(uri):
    """The command that serves a store; a password in its URL is not shown."""
    shown = make_url(uri).render_as_string(hide_password=True)
    usual = Path("mlflow.db").resolve()
    if uri.startswith("sqlite:///") and Path(unquote(uri[10:])).resolve() == usual:
        return "mlflow server"
    return f"mlflow server --backend-store-uri {shlex.quote(shown)}"


def command(entry, **settings):
    """The command that runs an entry point where the present run was run.

    Args:
        entry: name of the entry point.
        settings: its parameters, as text.

    Returns:
        Words for a shell: in the same experiment, with the same kind of environment.
    """
    run = runs.present()
    words = ["mlflow", "run", ".", "-e", entry]
    # MLflow sets the tag where it made the environment.
    if ENVIRONMENT not in run.tags:
        words += ["--env-manager", "local"]
    experiment = runs.experiment(run.experiment_id, mlflow.get_tracking_uri())
    if experiment != "Default":
        words += ["--experiment-name", experiment]
    for name, value in settings.items():
        words += ["-P", f"{name}={value}"]
    return shlex.join(words)
