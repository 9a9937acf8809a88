"""What people see: a store with six runs, served by MLflow, in a real browser.

`GWRES_SCREENSHOTS=docs pytest tests/test_browser.py` writes the pictures of the README.
"""

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from gwres import evaluate, gallery, notes, report, tracking, views
from gwres.data.corpus import Windows
from gwres.recipe import Recipe
from gwres.simulate import dataset, waveforms
from gwres.simulate.population import PARAMETERS, population

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--disable-dev-shm-usage --hide-scrollbars --window-size=1440,900"
).split()
DEPTHS = (16, 18, 34, 50, 101, 152)
ROWS = 320
WAIT_S = 40

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs chromium and chromium-driver"
)


@pytest.fixture(scope="module")
def judged():
    """Simulated windows with known signals, as a holdout."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(waveforms, "workers", lambda jobs, job: map(job, jobs))
        source = dataset.Source(population("g2net"), 1, "holdout")
        folder = dataset.fixed(source, ROWS)
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


def run_of(depth, windows, asd, folder):
    """A run as a training logs it, of predictions that improve with depth.

    The deepest has a report; the others would only cost time.

    Returns:
        Its id.
    """
    recipe = Recipe().vary({"depth": depth, "frontend": "templates"}).sized()
    table = predicted(windows.table, 0.15 + 0.0015 * depth, depth)
    classical = predicted(windows.table, 0.35, 1)
    found, missing = evaluate.summary(table)
    beside, _ = evaluate.summary(classical, "matched_filter")
    cost = {
        "cost/train_core_seconds": 20.0 * depth,
        "cost/windows_per_core_second": 2e4 / depth,
        "cost/parameters": 1e4 * depth,
    }
    with tracking.run("train") as run:
        tracking.recipe(recipe)
        course = history(found["holdout/roc_auc"])
        for row in course.to_dict("records"):
            tracking.epoch(row)
        judged = table, classical
        text = notes.finished(
            recipe.name, judged, tracking.place(), cost, recipe.command
        )
        area = evaluate.ordered(table)[0]["roc_auc"]
        tracking.described(text, {"gwres.roc_auc": report.show(area)})
        if depth == max(DEPTHS):
            lists = {"Cost": cost, "Settings": recipe.flat()}
            view = gallery.viewer(windows, asd)
            report.report(
                folder, recipe.name, table, course, classical, None, lists, view
            )
        beside = {name: value for name, value in beside.items() if "roc_auc" in name}
        tracking.result(found | cost | beside, missing, folder)
        return run.info.run_id


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.fixture(scope="module")
def served(judged, fitted, tmp_path_factory):
    """A server over a store of six runs: its address, the runs by depth."""
    folder = tmp_path_factory.mktemp("store")
    uri, before = f"sqlite:///{folder / 'mlflow.db'}", mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient()
    experiment = client.create_experiment("gwres", (folder / "files").as_uri())
    # It takes as long to start as the runs to log.
    server, address = started(uri, folder)
    try:
        runs = {}
        for depth in DEPTHS:
            out = folder / str(depth)
            out.mkdir()
            runs[depth] = run_of(depth, judged, fitted, out)
        champion(client, runs[max(DEPTHS)])
        awake(address, server, folder / "server.log")
        yield address, experiment, runs
    finally:
        mlflow.set_tracking_uri(before)
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def started(uri, folder):
    """A server's process, in a group of its own, and its address."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
    return server, f"http://127.0.0.1:{port}"


def champion(client, run_id):
    """Register a run's files as the champion; nothing here asks it for an answer."""
    client.create_registered_model("gwres-ensemble")
    source = client.get_run(run_id).info.artifact_uri
    version = client.create_model_version("gwres-ensemble", source, run_id)
    client.set_registered_model_alias("gwres-ensemble", "champion", version.version)


def awake(address, server, log):
    """Wait until a server answers."""
    end = time.monotonic() + 60
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=2):
                return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"the server does not answer:\n{log.read_text()}")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    # MLflow's assistant opens its panel once, over a quarter of the page.
    closed = (
        "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', true)"
    )
    closed = {"source": f"try {{ {closed} }} catch {{}}"}
    driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", closed)
    yield driver
    driver.quit()


def filled(driver):
    """Marks in each chart; None where there is no chart, or one without any."""
    counts = driver.execute_script("""
        const marks = ".points path, path.js-line";
        return [...document.querySelectorAll(".js-plotly-plot")].map(chart =>
            [...chart.querySelectorAll(marks)].filter(
                mark => (mark.getAttribute("d") || "").length > 4).length);
    """)
    return counts if counts and min(counts) else None


def coloured(element):
    """Pixels of an element that are neither black, white nor grey."""
    pixels = imread(io.BytesIO(element.screenshot_as_png))[:, :, :3]
    return int((np.ptp(pixels, axis=2) > 0.3).sum())


class Page:
    """A page of the served store, in the browser."""

    def __init__(self, driver, address, path):
        self.driver = driver
        # A new path behind the hash alone would not load the page anew.
        driver.get("about:blank")
        driver.get(address + path)

    def wait(self, ready, what):
        """Wait for a function of the driver to be true; its value."""
        message = f"no {what} on {self.driver.current_url}"
        patience = WebDriverWait(self.driver, WAIT_S, 0.2)
        return patience.until(lambda driver: ready(driver), message)

    def text(self, *words):
        """Wait until the page says all of the words."""

        def said(driver):
            body = driver.find_element(By.TAG_NAME, "body").text
            return all(word in body for word in words)

        self.wait(said, f"text {', '.join(words)}")

    def all(self, selector, least=1):
        """Wait for as many elements, and give them."""

        def found(driver):
            elements = driver.find_elements(By.CSS_SELECTOR, selector)
            return elements if len(elements) >= least else None

        return self.wait(found, f"{least} of {selector}")

    def charts(self):
        """Marks drawn in each chart on the page: bars, points and lines."""
        return self.wait(lambda driver: filled(driver), "charts without an empty one")

    def picture(self, name):
        """Keep what is seen, if asked to."""
        folder = os.environ.get("GWRES_SCREENSHOTS")
        if folder:
            path = Path(folder) / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            assert self.driver.save_screenshot(str(path))


def test_the_runs_table_shows_all_runs(served, browser):
    address, experiment, _ = served
    page = Page(browser, address, f"/#/experiments/{experiment}/runs?{views.QUERY}")
    page.text("6 matching runs", *(f"resnet{depth}-templates" for depth in DEPTHS))
    # The view's columns, with numbers in them, and the best run first.
    page.text("holdout/roc_auc", "matched_filter/roc_auc", "cost/parameters")
    cells = page.all('[role="gridcell"][col-id*="holdout/roc_auc`"]', len(DEPTHS))
    rows = sorted(cells, key=lambda cell: cell.location["y"])
    areas = [float(cell.text) for cell in rows]
    assert areas == sorted(areas, reverse=True) and areas[0] > areas[-1]
    page.picture("runs")


def test_the_charts_of_all_runs_hold_something(served, browser):
    address, experiment, _ = served
    path = f"/#/experiments/{experiment}/runs?compareRunsMode=CHART&{views.SECTIONS}"
    page = Page(browser, address, path)
    page.text("cost", "holdout")
    counts = page.charts()
    assert len(counts) >= 3 and min(counts) >= len(DEPTHS), counts
    page.picture("charts")


def test_six_runs_are_compared(served, browser):
    address, experiment, runs = served
    chosen = json.dumps(list(runs.values())).replace(" ", "")
    path = f'/#/compare-runs?runs={chosen}&experiments=["{experiment}"]'
    page = Page(browser, address, path)
    page.text("Comparing 6 Runs from 1 Experiment", "holdout/roc_auc")
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
    page = Page(browser, address, f"{path}?{views.SECTIONS}")
    page.text("resnet152-templates", "ROC-AUC", "the matched filter on the same")
    [image] = page.all('img[src*="roc.png"]')
    page.wait(lambda _: width(browser, image) == 800, "ROC curve in the description")
    [more] = [b for b in page.all("button") if b.text == "Show more"]
    more.click()
    page.text("Network SNR", "Cost", "The same training again")
    page.picture("run")
    page = Page(browser, address, f"{path}/model-metrics")
    page.text("train_core_seconds")
    assert len(page.charts()) >= 3


def width(driver, image):
    return driver.execute_script("return arguments[0].naturalWidth", image)


def test_the_report_opens_from_the_run(served, browser):
    """Inside MLflow's frame: its text, and every one of its figures."""
    address, experiment, runs = served
    path = f"/#/experiments/{experiment}/runs/{runs[152]}/artifacts/report.html"
    path += f"?{views.SECTIONS}"
    page = Page(browser, address, path)
    [frame] = page.all("iframe")
    browser.switch_to.frame(frame)
    try:
        page.text("ROC-AUC", "matched filter", "Loudest misses", "Cost")
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
    size = browser.get_window_size()
    browser.set_window_size(1280, 1300)
    page.picture("report")
    browser.set_window_size(size["width"], size["height"])


def test_the_champion_has_a_page(served, browser):
    address, _, _ = served
    Page(browser, address, "/#/models").text("gwres-ensemble")
    Page(browser, address, "/#/models/gwres-ensemble").text("champion", "Version 1")


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
