"""Takes the pictures of the README: what a store of runs looks like in MLflow.

    python -m tests.pictures docs gwres

is for the runs of the experiment gwres; MLFLOW_TRACKING_URI names another store than
the one of the present folder. It needs chromium and chromium-driver.
"""

import sys
import tempfile
from pathlib import Path

import mlflow

from gwres.pages import markdown

from .browser import Page, browser, server

TALL = 1440, 1300  # pixels
ENSEMBLE = "gwres-ensemble"


def take(driver, address, experiment, folder):
    """Photograph the table, the charts, the best run and the champion.

    Args:
        driver: as `browser.browser` gives it.
        address: of a server.
        experiment: id of an experiment that holds finished trainings.
        folder: Path for `runs.png`, `charts.png`, `run.png` and, where there is one,
            `champion.png`.
    """
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(address)
    try:
        client = mlflow.MlflowClient()
        best = _best(client, experiment)
        number = _champion(client)
    finally:
        mlflow.set_tracking_uri(before)
    home = f"/#/experiments/{experiment}/runs"
    page = Page(driver, address, f"{home}?{markdown.QUERY}")
    page.all('[role="gridcell"][col-id*="holdout/roc_auc`"]')
    page.picture(folder / "runs.png")
    page = Page(driver, address, f"{home}?{markdown.QUERY}&{markdown.CHART}")
    page.charts()
    page.picture(folder / "charts.png")
    size = driver.get_window_size()
    driver.set_window_size(*TALL)
    page = Page(driver, address, f"{home}/{best}?{markdown.SECTIONS}")
    page.described()
    page.picture(folder / "run.png")
    if number:
        path = f"/#/models/{ENSEMBLE}/versions/{number}"
        page = Page(driver, address, path)
        page.described()
        page.picture(folder / "champion.png")
    driver.set_window_size(size["width"], size["height"])


def _best(client, experiment):
    """The finished run with the highest ROC-AUC that trained a network."""
    found = client.search_runs(
        [experiment],
        "attributes.status = 'FINISHED' and metrics.`cost/parameters` > 0 and "
        "metrics.`holdout/roc_auc` > 0",
        order_by=["metrics.`holdout/roc_auc` DESC"],
        max_results=1,
    )
    if not found:
        raise LookupError(f"experiment {experiment} holds no finished training")
    return found[0].info.run_id


def _champion(client):
    """The champion's version, or None."""
    named = client.search_registered_models(f"name = '{ENSEMBLE}'")
    return named[0].aliases.get("champion") if named else None


def main(folder, experiment):
    """Serve the store, and take the pictures of an experiment by its name."""
    uri = mlflow.get_tracking_uri()
    found = mlflow.get_experiment_by_name(experiment)
    if not found:
        raise LookupError(f"{uri} holds no experiment {experiment}")
    with tempfile.TemporaryDirectory() as scratch, browser(scratch) as driver:
        if uri.startswith("http"):
            take(driver, uri, found.experiment_id, Path(folder))
            return
        with server(uri, Path(scratch), Path.cwd()) as (address, awake):
            awake()
            take(driver, address, found.experiment_id, Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
