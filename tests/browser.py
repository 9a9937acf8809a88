"""A real browser, MLflow's server, and pages of the one in the other."""

import io
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager

import numpy as np
from matplotlib.image import imread
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from . import readme

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync "
    "--disable-dev-shm-usage --hide-scrollbars --window-size=1440,900"
).split()
START_S, WAIT_S = 60, 40


@contextmanager
def server(uri, folder, home=None):
    """MLflow's server of a store, in a process group of its own.

    Args:
        uri: of the store.
        folder: Path, for the server's log.
        home: Path that the store's relative ones begin at; without it, `folder`.

    Yields:
        (its address, function that waits until it answers).
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    address, log = f"http://127.0.0.1:{port}", folder / "server.log"
    command = [*readme.command("mlflow server"), "--backend-store-uri", uri]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with log.open("w") as out:
        process = subprocess.Popen(
            command,
            cwd=home or folder,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )

    def awake():
        end = time.monotonic() + START_S
        while time.monotonic() < end and process.poll() is None:
            try:
                with urllib.request.urlopen(f"{address}/health", timeout=2):
                    return
            except OSError:
                time.sleep(0.3)
        raise TimeoutError(f"the server does not answer:\n{log.read_text()}")

    try:
        yield address, awake
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def browser(folder):
    """Chromium with its profile in a folder: selenium's driver."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in [*FLAGS, f"--user-data-dir={folder}"]:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    # MLflow's assistant opens its panel once, over a quarter of the page.
    closed = (
        "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', true)"
    )
    closed = {"source": f"try {{ {closed} }} catch {{}}"}
    driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", closed)
    try:
        yield driver
    finally:
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


def width(driver, image):
    """An image's own width in pixels; 0 as long as it is not there."""
    return driver.execute_script("return arguments[0].naturalWidth", image)


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

    def charts(self, least=1):
        """Wait for as many charts, none empty: bars, points and lines in each."""

        def drawn(driver):
            counts = filled(driver)
            return counts if counts and len(counts) >= least else None

        return self.wait(drawn, f"{least} charts without an empty one")

    def described(self):
        """Unfold the page's description, and wait for its figures: their widths."""
        pictures = self.all('img[src*="get-artifact"]')
        for button in self.driver.find_elements(By.TAG_NAME, "button"):
            if button.text == "Show more":
                button.click()

        def drawn(driver):
            widths = [width(driver, image) for image in pictures]
            return widths if min(widths) else None

        return self.wait(drawn, "figure in the description")

    def picture(self, path):
        """Keep what is seen as a PNG file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        if not self.driver.save_screenshot(str(path)):
            raise OSError(f"no picture could be written to {path}")
