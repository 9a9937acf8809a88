"""Where to go from a finished run: the last lines on the screen."""

import shlex
from pathlib import Path

import mlflow
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.uri import is_local_uri
from sqlalchemy import make_url

from gwres.views import SECTIONS


def lines(reported=True):
    """Of the present run: where its report is, what opens the UI, what promotes.

    Args:
        reported: whether it has a report.

    Returns:
        list of three lines, or two.
    """
    run = mlflow.get_run(mlflow.active_run().info.run_id)
    folder, name = run.info.artifact_uri, run.info.run_id
    if is_local_uri(folder):
        report = str(Path(local_file_uri_to_path(folder)) / "report.html")
    else:
        report = f"mlflow artifacts download -r {name} -a report.html"
    page = f"/#/experiments/{run.info.experiment_id}/runs/{name}?{SECTIONS}"
    uri = mlflow.get_tracking_uri()
    if uri.startswith("http"):
        look = uri.rstrip("/") + page
    else:
        look = f"{server(uri)}  and open http://127.0.0.1:5000{page}"
    found = [f"report   {report}"] if reported else []
    return [*found, f"look     {look}", f"promote  {command('promote')}"]


def server(uri):
    """The command that serves a store; a password in its URL is not shown."""
    shown = make_url(uri).render_as_string(hide_password=True)
    usual = Path("mlflow.db").resolve()
    if uri.startswith("sqlite:///") and Path(uri[10:]).resolve() == usual:
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
    run = mlflow.get_run(mlflow.active_run().info.run_id)
    words = ["mlflow", "run", ".", "-e", entry]
    # MLflow sets the tag where it made the environment.
    if "mlflow.project.env" not in run.data.tags:
        words += ["--env-manager", "local"]
    experiment = mlflow.get_experiment(run.info.experiment_id).name
    if experiment != "Default":
        words += ["--experiment-name", experiment]
    for name, value in settings.items():
        words += ["-P", f"{name}={value}"]
    return shlex.join(words)
