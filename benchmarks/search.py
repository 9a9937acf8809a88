"""Hours of strain that a core searches in an hour, beside PyCBC's matched filter.

Simulated noise of two detectors, with glitches. Each network searches it with and
without time slides; weights are drawn, for they cost the same. The peer is
`pycbc.filter.matched_filter`, with as many templates as the triggers have, on the same
stretch, conditioned and with PSD and templates at hand, without slides, chi-squared or
coincidence.

    python -m benchmarks.search [seconds] [networks, such as 18-templates,34-waveform]
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from gwres.layers.whiten import FREQUENCIES
from gwres.matched.design import filters
from gwres.models.classifier import classifier, network
from gwres.search import rehearsal, scan
from gwres.search.strain import open_strain
from gwres.serve.scorer import Scorer
from gwres.simulate.noise import HERTZ, measured
from gwres.simulate.population import population
from gwres.strain import DETECTORS, SAMPLE_RATE, SCALE
from gwres.training.recipe import Recipe

SLIDES = 100
NETWORKS = "18-templates,34-templates,152-templates,18-waveform,18-spectrogram"
SEGMENT_S, EDGE_S = 256, 8  # of the peer; edges are thrown away
SEED = 3


def asd():
    """The median of measured spectra, as `whiten.fit_asd` would give it."""
    rows = []
    for name in DETECTORS:
        middle = np.maximum(np.median(measured(name), axis=0), 1e-30)
        rows.append(np.exp(np.interp(FREQUENCIES, HERTZ, np.log(middle))) / SCALE)
    return np.stack(rows)


def judge(name, drawn, folder):
    """A `scan.Judge` of a network, such as 18-templates, that was not trained."""
    depth, frontend = name.split("-")
    changes = {"depth": int(depth), "frontend": frontend}
    recipe = Recipe().vary(changes | {"population": drawn.name, "noise": "detector"})
    fitted = filters(drawn, asd(), consistent=True)
    built = network(recipe.sized().model, frontend, fitted)
    path = Path(folder) / f"{name}.keras"
    classifier(built, asd()).save(path)
    return scan.Judge(Scorer({"classifier": path}), name, name, drawn)


def peer(recording, count):
    """Core-seconds of PyCBC's matched filter in each second of two detectors."""
    from pycbc.filter import matched_filter
    from pycbc.psd import from_numpy_arrays
    from pycbc.types import TimeSeries
    from pycbc.waveform import get_fd_waveform

    step = 1 / SEGMENT_S
    curve = np.maximum(np.median(measured("H1"), axis=0), 1e-30) ** 2
    size = SEGMENT_S * SAMPLE_RATE
    psd = from_numpy_arrays(HERTZ, curve, size // 2 + 1, step, 15.0)
    waves = []
    for mass in np.geomspace(6, 80, count):
        wave, _ = get_fd_waveform(
            approximant="IMRPhenomD", mass1=mass, mass2=mass, delta_f=step, f_lower=20
        )
        wave.resize(size // 2 + 1)
        waves.append(wave)
    searched, spent = 0.0, 0.0
    start = recording.start
    while start + SEGMENT_S <= recording.stop:
        strain, _ = recording.read(start, start + SEGMENT_S)
        series = [
            TimeSeries(row, delta_t=1 / SAMPLE_RATE, epoch=start) for row in strain[:2]
        ]
        begun = time.process_time()
        for row in series:
            spectrum = row.to_frequencyseries()
            for wave in waves:
                matched_filter(
                    wave, spectrum, psd=psd, low_frequency_cutoff=20.0, sigmasq=1.0
                ).numpy()
        spent += time.process_time() - begun
        searched += SEGMENT_S - 2 * EDGE_S
        start += SEGMENT_S - 2 * EDGE_S
    return spent / searched


def main(seconds=1024, networks=NETWORKS):
    """Print the table."""
    drawn = population("field")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "noise.hdf"
        rehearsal.write(path, int(seconds), SEED)
        recording = open_strain(path)
        rows = []
        for name in networks.split(","):
            chosen = judge(name, drawn, folder)
            for count in (0, SLIDES):
                where = Path(folder) / f"{name}-{count}"
                scan.scan(open_strain(path), chosen, where / "warm", count=0)
                begun = time.process_time()
                found = scan.scan(recording, chosen, where, count=count)
                spent = time.process_time() - begun
                rows.append((name, count, found.searched_s / spent, found.looked))
        templates = filters(drawn, asd(), consistent=True).coarse.grid.count
        rows.append(
            (f"PyCBC, {templates} templates", 0, 1 / peer(recording, templates), 0)
        )
    print("| search | time slides | hours in a core-hour | windows looked at |")
    print("|---|---|---|---|")
    for name, count, speed, looked in rows:
        print(f"| {name} | {count} | {speed:.0f} | {looked:,} |")


if __name__ == "__main__":
    main(*sys.argv[1:])
