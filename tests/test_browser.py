"""What people see: a store with six runs, served by MLflow, in a real browser."""

import json
import os
import shlex
import subprocess
import sys
import urllib.request

import mlflow
import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from gwres.data.corpus import Windows
from gwres.jobs.publish import judge, publish
from gwres.judging import predictions
from gwres.pages import gallery, markdown, notes, report
from gwres.pages.plots import EVIDENCE, MATCHED_FILTER
from gwres.simulate import dataset
from gwres.simulate.population import PARAMETERS, population
from gwres.tracking import log, registry
from gwres.training.recipe import Recipe

from . import readme
from .browser import CHROMIUM, DRIVER, Page, coloured, filled, server, width
from .browser import browser as chromium
from .pages.test_notes import evidence

DEPTHS = (16, 18, 34, 50, 101, 152)
ROWS = 320

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs chromium and chromium-driver"
)


@pytest.fixture(scope="module")
def judged():
    """Simulated windows with known signals, as a holdout."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "each", lambda job, jobs, _: map(job, jobs))
        source = dataset.Source(population("g2net"), 1, "holdout")
        folder = dataset.cached_windows(source, ROWS)
    table = pd.read_parquet(folder / "truth.parquet")
    table = table.rename(columns={"target": "label"})
    table = table[["id", "split", "label", "network_snr", *PARAMETERS]]
    strain = np.load(folder / "strain.npy")
    return Windows("holdout", table, lambda start, stop: strain[start:stop], "browser")


def predicted(table, skill, seed):
    """Predictions of known quality: logits that rise with the SNR by `skill`."""
    rng = np.random.default_rng(seed)
    loudness = np.minimum(table["network_snr"].fillna(0), 15)
    return table.assign(logit=rng.normal(size=len(table)) + skill * (loudness - 4))


def history(area):
    """Six epochs that end at an area."""
    done = 1 - np.exp(-np.arange(1, 7) / 2)
    return pd.DataFrame(
        {
            "epoch": range(6),
            "step": 1000 * np.arange(1, 7),
            "train/loss": 0.69 - 0.2 * done,
            "val/loss": 0.69 - 0.18 * done,
            "val/roc_auc": 0.5 + (area - 0.5) * done,
        }
    )


def run_of(depth, windows, asd):
    """A run as a training logs it, of predictions that improve with depth.

    The deepest has a report; the others would only cost time.

    Returns:
        Its id.
    """
    recipe = Recipe().vary({"depth": depth, "frontend": "templates"}).sized()
    table = predicted(windows.table, 0.15 + 0.0015 * depth, depth)
    classical = {
        MATCHED_FILTER: predicted(windows.table, 0.35, 1),
        EVIDENCE: predicted(windows.table, 0.37, 1),
    }
    added = report.added_to(table, classical[EVIDENCE], own=True)
    judgement = judge(table, classical)
    course = history(judgement.area.value)
    rows = course.to_dict("records")
    cost = {
        "cost/train_core_seconds": 20.0 * depth,
        "cost/windows_per_core_second": 2e4 / depth,
        "cost/parameters": 1e4 * depth,
    }

    def write(out):
        if depth == max(DEPTHS):
            lists = {"Cost": cost, "Settings": recipe.flat()}
            view = gallery.viewer(windows, asd)
            shown = table, course, classical, None, lists, view, added
            report.write(out, recipe.name, *shown)

    with log.run("train") as run:
        log.recipe(recipe)
        with log.Trial(0, recipe, {"dropout": 0.1}) as trial:
            trial(rows[0])
        for row in rows:
            log.epoch(row)
        publish(
            lambda place: notes.trained(
                recipe.name, table, classical, place, cost, recipe.command, added
            ),
            write=write,
            metrics=judgement.metrics | cost,
            warnings=judgement.warnings,
            named=judgement.named,
        )
    return run.id


@pytest.fixture(scope="module")
def served(judged, fitted, tmp_path_factory):
    """A server over a store of six runs: its address, the runs by depth."""
    folder = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient()
    experiment = client.create_experiment("gwres", (folder / "files").as_uri())
    # It takes as long to start as the runs to log.
    with server(uri, folder) as (address, awake):
        try:
            runs = {}
            for depth in DEPTHS:
                runs[depth] = run_of(depth, judged, fitted)
            member = registered(client, runs[max(DEPTHS)])
            runs["evaluate"] = compared(judged)
            runs["promote"] = promoted(client, member, runs[max(DEPTHS)])
            awake()
            yield address, experiment, runs
        finally:
            mlflow.set_tracking_uri(None)


def registered(client, run_id):
    """Register a run's files, which nothing here asks for an answer, as a member."""
    run = client.get_run(run_id)
    client.create_registered_model("gwres-resnet152-templates")
    version = client.create_model_version(
        "gwres-resnet152-templates", run.info.artifact_uri, run_id
    )
    area = predictions.area_of(run.data.metrics)
    beside = predictions.area_of(run.data.metrics, "matched_filter")
    place = run.info.experiment_id, run_id
    card = notes.version("resnet152-templates", area, beside, place)
    about = notes.member_model("resnet152-templates")
    registry.describe(registry.Version.of(version), about, lambda: card)
    return version


def compared(windows):
    """A run that compares the deepest network with the matched filter."""
    tables = {
        "models:/gwres-resnet152-templates/1": predicted(windows.table, 0.38, 152),
        "matched-filter": predicted(windows.table, 0.35, 1),
    }
    with log.run("evaluate") as run:
        publish(
            lambda place: notes.compared(
                tables, predictions.differences(tables), place
            ),
            write=lambda out: report.compare(out, "Comparison", tables),
        )
    return run.id


def promoted(client, member, run_id):
    """A run that makes the member, alone, champion."""
    metrics = client.get_run(run_id).data.metrics
    with log.run("promote") as run:
        place = run.place
        decision = evidence(version=1, champion=None, reason="there is no champion")
        decision["members"] = [
            decision["members"][0]
            | {"model": member.name, "version": 1, "kind": "resnet152-templates"}
            | {"run": run_id, "experiment": place[0], "weight": 1.0}
        ]
        undo = "mlflow run . -e promote -P rollback=true"
        text = notes.promoted(registry.ENSEMBLE, decision, place, undo)
        log.files(client.download_artifacts(run_id, ""))
        log.describe(text, {"gwres.reason": decision["reason"]})
    client.create_registered_model(registry.ENSEMBLE)
    version = client.create_model_version(registry.ENSEMBLE, run.artifact_uri, run.id)
    about = notes.ensemble_model(registry.ENSEMBLE, "champion", "previous")
    area = predictions.area_of(metrics)
    card = notes.version("Stack of 1: resnet152-templates", area, None, place)
    registry.describe(registry.Version.of(version), about, lambda: card)
    client.set_registered_model_alias(registry.ENSEMBLE, "champion", version.version)
    return run.id


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


def test_the_runs_table_shows_all_runs(served, browser):
    address, experiment, _ = served
    page = Page(browser, address, f"/#/experiments/{experiment}/runs?{markdown.QUERY}")
    # The six trials stand below their runs.
    page.text("8 matching runs", "evaluate", "promote")
    page.text(*(f"resnet{depth}-templates" for depth in DEPTHS))
    # The view's columns, with numbers in them, and the best run first.
    page.text("gwres.roc_auc", "Models", "holdout/roc_auc", "matched_filter/roc_auc")
    cells = page.all('[role="gridcell"][col-id*="holdout/roc_auc`"]', len(DEPTHS) + 2)
    rows = sorted(cells, key=lambda cell: cell.location["y"])
    areas = [float(cell.text) for cell in rows if cell.text != "-"]
    assert len(areas) == len(DEPTHS)
    assert areas == sorted(areas, reverse=True) and areas[0] > areas[-1]


def test_the_charts_of_all_runs_hold_something(served, browser):
    address, experiment, _ = served
    path = f"/#/experiments/{experiment}/runs?{markdown.QUERY}&{markdown.CHART}"
    page = Page(browser, address, path)
    page.text("Result", "model.depth", "evidence/difference")
    page.text("holdout/roc_auc", "cost/train_core_seconds", "val/roc_auc")
    counts = page.charts(3)
    assert min(counts) >= len(DEPTHS), counts


def test_six_runs_are_compared(served, browser):
    address, experiment, runs = served
    chosen = json.dumps([runs[depth] for depth in DEPTHS]).replace(" ", "")
    path = f'/#/compare-runs?runs={chosen}&experiments=["{experiment}"]'
    page = Page(browser, address, path)
    # Its list of metrics holds as many as are seen without scrolling.
    page.text("Comparing 6 Runs from 1 Experiment", "evidence/difference")
    page.all(".js-plotly-plot .parcoords .y-axis", 3)
    [scatter] = [tab for tab in page.all('[role="tab"]') if "Scatter" in tab.text]
    scatter.click()
    page.text("X-axis", "Y-axis")
    # Its points are drawn on a canvas, where only their colour can be counted.
    [chart] = page.all(".js-plotly-plot")
    page.wait(lambda _: coloured(chart) > 100, "point in the scatter plot")


def test_a_run_tells_its_result_and_draws_its_metrics(served, browser):
    address, experiment, runs = served
    path = f"/#/experiments/{experiment}/runs/{runs[152]}"
    page = Page(browser, address, f"{path}?{markdown.SECTIONS}")
    page.text("resnet152-templates", "ROC-AUC", "the matched filter on the same")
    assert page.described() == [800, 800]
    page.text("Network SNR", "Cost", "The same training again")
    page = Page(browser, address, f"{path}/model-metrics")
    page.text("train_core_seconds")
    page.charts(3)


def test_the_report_opens_from_the_run(served, browser):
    """Inside MLflow's frame: its text, and every one of its figures."""
    address, experiment, runs = served
    path = f"/#/experiments/{experiment}/runs/{runs[152]}/artifacts/report.html"
    path += f"?{markdown.SECTIONS}"
    page = Page(browser, address, path)
    [frame] = page.all("iframe")
    browser.switch_to.frame(frame)
    try:
        page.text("ROC-AUC", "matched filter", "The network adds", "Loudest misses")
        page.text("Cost")
        images = page.all("img", 6)
        assert all(width(browser, image) == 800 for image in images)
        names = [image.get_attribute("alt") for image in images]
        assert any("ROC" in name for name in names)
        assert any("spectrograms" in name for name in names)
    finally:
        browser.switch_to.default_content()


def test_the_report_needs_no_server(served, browser, tmp_path):
    """Downloaded and opened as a file, it draws all of its figures."""
    address, _, runs = served
    artifact = f"{address}/get-artifact?path=report.html&run_uuid={runs[152]}"
    with urllib.request.urlopen(artifact, timeout=10) as answer:
        (tmp_path / "report.html").write_bytes(answer.read())
    page = Page(browser, (tmp_path / "report.html").as_uri(), "")
    assert all(width(browser, image) == 800 for image in page.all("img", 6))


def test_the_champion_has_a_page(served, browser):
    address, _, _ = served
    Page(browser, address, "/#/models").text("gwres-ensemble")
    page = Page(browser, address, "/#/models/gwres-ensemble")
    page.text("champion", "Version 1", "Stacks of residual networks")
    page.text("models serve -m models:/gwres-ensemble@champion")


def test_the_champions_version_leads_to_its_runs(served, browser):
    """By its description: ROC-AUC, figure, and the run with the decision."""
    address, experiment, runs = served
    page = Page(browser, address, "/#/models/gwres-ensemble/versions/1")
    assert page.described() == [800]
    page.text("Stack of 1: resnet152-templates", "on the holdout")
    # In a page of its own: a description's links open another tab.
    link, *_ = page.all(f'a[href="#/experiments/{experiment}/runs/{runs["promote"]}"]')
    page = Page(browser, link.get_attribute("href"), "")
    page.text("Promoted: there is no champion", "Candidate gwres-ensemble, version 1")
    assert page.described() == [800]
    page.all(f'a[href="#/experiments/{experiment}/runs/{runs[152]}"]')
    link, *_ = page.all('a[href="#/models/gwres-resnet152-templates/versions/1"]')
    page = Page(browser, link.get_attribute("href"), "")
    page.text("resnet152-templates", "the matched filter on the same windows")


def test_a_comparison_shows_its_differences(served, browser):
    address, experiment, runs = served
    path = f"/#/experiments/{experiment}/runs/{runs['evaluate']}?{markdown.SECTIONS}"
    page = Page(browser, address, path)
    assert page.described() == [800]
    page.text("2 models compared", "Difference", "matched-filter", "paired DeLong")


def test_the_readmes_pictures_are_taken(served, tmp_path):
    """Of an experiment of a server, by the README's command."""
    address, _, _ = served
    words = shlex.split(readme.line("python -m tests.pictures docs "))[1:]
    words[words.index("docs")] = str(tmp_path)
    subprocess.run(
        [sys.executable, *words],
        env=os.environ | {"MLFLOW_TRACKING_URI": address},
        cwd=readme.ROOT,
        check=True,
    )
    for name in ("runs", "charts", "run", "champion"):
        assert np.ptp(imread(tmp_path / f"{name}.png")[:, :, :3]) > 0.5


def test_an_empty_chart_is_found(served, browser):
    address, experiment, runs = served
    path = f"/#/experiments/{experiment}/runs/{runs[152]}/model-metrics"
    page = Page(browser, address, path)
    assert page.charts() and coloured(page.all(".js-plotly-plot")[0]) > 100
    browser.execute_script("""
        document.querySelector(".js-plotly-plot .points").replaceChildren();
        document.querySelector(".js-plotly-plot .legend")?.replaceChildren();
    """)
    assert filled(browser) is None
    browser.execute_script(
        "document.querySelector('.js-plotly-plot').replaceChildren()"
    )
    assert coloured(page.all(".js-plotly-plot")[0]) < 100
