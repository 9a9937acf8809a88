"""Simulated windows, and whole data sets in G2Net's own layout."""

import hashlib
import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from gwres import cache, proof
from gwres.engine.work import each
from gwres.errors import InputError, writing
from gwres.progress import progress
from gwres.simulate import waveforms
from gwres.simulate.detectors import delays, patterns
from gwres.simulate.glitches import GLITCH_SNRS, GLITCHES
from gwres.simulate.noise import GAUSSIAN, Noise, inner, states
from gwres.simulate.population import PARAMETERS, Population
from gwres.strain import ASD_SHAPE, BAND, DETECTORS, SAMPLE_RATE, SAMPLES, SHAPE

CHUNK = 250  # windows per job of a worker
SNRS = tuple(f"snr_{detector}" for detector in DETECTORS)
ALL = np.ones(len(DETECTORS), bool)
COLUMNS = ("id", "split", "target", *PARAMETERS, *SNRS, "network_snr")


@dataclass(frozen=True)
class Source:
    """A stream of simulated windows; equal sources give equal windows.

    Args:
        population: the `Population` of the signals, which half of the windows have.
        seed: seed of the random draws.
        split: name such as "train" or "holdout"; each split has its own stream.
        noise: the `Noise` they are recorded in.
    """

    population: Population
    seed: int
    split: str
    noise: Noise = GAUSSIAN

    @property
    def columns(self):
        """Names of the table's columns."""
        return (*COLUMNS, *GLITCHES, *GLITCH_SNRS) if self.noise.real else COLUMNS

    def id(self, index):
        """Ten hexadecimal digits, like the ids of G2Net, and no two alike.

        A hash of ten digits would repeat: one in seven data sets of 560,000 windows
        would have two equal ids. An odd factor permutes the numbers below 2^40.
        """
        factor = _number(f"{self.seed}") | 1
        offset = _number(f"{self.seed}/{self.split}")
        return f"{(index * factor + offset) % 2**40:010x}"

    def windows(self, start, stop):
        """Windows `start` to `stop` of the stream.

        Returns:
            (float64 strain of shape (n, 3, 4096), DataFrame with `columns`).
        """
        return self.recorded(start, stop)[:2]

    def recorded(self, start, stop):
        """As `windows`, and what is known of the spectra at the time.

        Returns:
            (strain, table, float32 ASDs (n, 3, 513) as `noise.Recorded` has them; None
            where the noise has one spectrum).
        """
        known = states(self.seed) if self.noise.real else None
        strain, rows, estimates = [], [], []
        for index in range(start, stop):
            stream = hashlib.sha256(f"{self.split}/{index}".encode()).digest()
            rng = np.random.default_rng([self.seed, *stream])
            quiet = self.noise.window(rng, known, self.population.merger_s)
            window = quiet.strain
            row = {"id": self.id(index), "split": self.split}
            row["target"] = int(rng.integers(2))
            present = self.population.present(rng, 1)[0]
            for place, detector in enumerate(DETECTORS):
                # A missing detector has no glitch either.
                found = quiet.loudest(detector) if present[place] else ("", 0.0)
                row[GLITCHES[place]], row[GLITCH_SNRS[place]] = found
            if row["target"]:
                injection, truth = signal(self.population, rng, present, quiet.asds)
                window += injection
                row |= truth
            # A missing detector is a row of zeros.
            strain.append(window * present[:, None])
            rows.append(row)
            estimates.append(quiet.estimate)
        table = pd.DataFrame(rows, columns=self.columns)
        return np.stack(strain), table, np.stack(estimates) if known else None


def _number(text):
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:5], "big")


def signal(population, rng, present=ALL, asds=None):
    """One signal as the three detectors record it.

    Args:
        population: a `Population`.
        rng: numpy Generator.
        present: whether each detector has data, (3,).
        asds: those of the noise, at `noise.HERTZ`; None for G2Net's.

    Returns:
        (float64 strain of shape (3, 4096), dict of `PARAMETERS` and the optimal SNRs,
        zero in missing detectors; of the whole signal from 20 Hz up, or of the last
        `Population.held_s`, not only of the part in the window).
    """
    truth, polarisations = waveforms.draw(population, rng, SAMPLE_RATE / 2)
    power = waveforms.power(polarisations, asds)
    extrinsic = waveforms.place(population, power[None], rng, present[None])
    truth |= {name: float(values[0]) for name, values in extrinsic.items()}
    strain, snrs = record(truth, polarisations, asds)
    strain, snrs = strain * present[:, None], snrs * present
    truth |= dict(zip(SNRS, snrs)) | {"network_snr": float(np.sqrt((snrs**2).sum()))}
    return strain, truth


def record(truth, both, asds=None, before_s=0):
    """Strain and SNRs of a binary in the three detectors.

    Args:
        truth: dict of `EXTRINSIC` names to floats.
        both: plus and cross up to half of `SAMPLE_RATE`, from
            `waveforms.polarisations`.
        asds: as for `signal`.
        before_s: whole seconds before the window's start that are given too, 0 to 4.

    Returns:
        (float64 strain of shape (3, 4096), or longer by `before_s` at its start;
        optimal SNRs (3,)).
    """
    sky = np.array([truth["ra"]]), np.array([truth["dec"]])
    response = patterns(*sky, np.array([truth["psi"]]))[0] @ both
    response *= waveforms.REFERENCE_MPC / truth["luminosity_distance"]
    arrival = truth["merger_time"] + delays(*sky)[0] + before_s
    frequencies = np.arange(both.shape[1]) * waveforms.STEP_HZ
    shifted = response * np.exp(-2j * np.pi * frequencies * arrival[:, None])
    length = SAMPLES + before_s * SAMPLE_RATE
    strain = np.fft.irfft(shifted)[:, :length] * SAMPLE_RATE
    return strain, np.sqrt(inner(response, response, frequencies, asds))


def _recorded(job):
    source, start, stop = job
    return source.recorded(start, stop)


def _called(job):
    """What a job of `_jobs` is called, whatever stands before it."""
    *_, source, start, stop = job
    return f"windows {start} to {stop - 1} of {source.split}"


def _jobs(source, count):
    return [(source, i, min(i + CHUNK, count)) for i in range(0, count, CHUNK)]


def cached_windows(source, count):
    """The folder of a source's first `count` windows, made once and cached.

    Returns:
        Path of a folder with `strain.npy`, float32 (count, 3, 4096), and
        `truth.parquet` with the source's `columns`; where the noise is `real`, also
        `asd.npy`, float32 (count, 3, 513), what is known of the spectra. Both arrays
        are for `cache.rows`.
    """
    if source.noise.real:
        states(source.seed)  # once, before the workers ask for them

    def make(folder):
        jobs = _jobs(source, count)
        sizes = (stop - start for _, start, stop in jobs)
        finished = zip(sizes, each(_recorded, jobs, _called))
        shapes = {"strain": SHAPE}
        if source.noise.real:
            shapes["asd"] = ASD_SHAPE
        tables = []
        with ExitStack() as stack:
            files = [
                stack.enter_context(
                    proof.writing_rows(folder / f"{name}.npy", "<f4", (count, *shape))
                )
                for name, shape in shapes.items()
            ]
            for chunk in progress(finished, count, f"{source.split} set"):
                strain, table, estimate = chunk
                for append, rows in zip(files, (strain, estimate)):
                    append(rows)
                tables.append(table)
        pd.concat(tables).to_parquet(folder / "truth.parquet", index=False)

    return cache.folder("windows", describe(source, count), make)


def describe(source, count):
    """All that a set of windows depends on, as the key of its cache."""
    made_from = {
        "population": source.population.key,
        "seed": source.seed,
        "split": source.split,
        "count": count,
        "low_hz": BAND[0],
        "layout": 2,
    }
    return made_from | source.noise.described()


def _write(job):
    """Write a chunk's windows, then its table, which marks the chunk as complete."""
    folder, source, start, stop = job
    strain, table = source.windows(start, stop)
    for name, window in zip(table["id"], strain):
        path = folder / source.split / name[0] / name[1] / name[2] / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing(path):
            np.save(path, window)
    part = _part(folder, source, start)
    with cache.keeping(part) as scratch:
        table.to_parquet(scratch, index=False)
    return stop - start


def _part(folder, source, start):
    return folder / ".parts" / f"{source.split}-{start:07d}.parquet"


def write(folder, population, train, test, seed):
    """Write a data set that a G2Net reader cannot tell from the original.

    Goes on where an earlier, interrupted call with the same arguments stopped.

    Args:
        folder: folder to write into; new, empty, or from an interrupted call.
        population: a `Population`.
        train: number of windows with labels.
        test: number of windows without labels.
        seed: seed of the random draws.

    Raises:
        InputError: the folder holds other data.
    """
    # Workers may have another working directory.
    folder = Path(folder).absolute()
    settings = {**population.key, "train": train, "test": test, "seed": seed}
    settings = json.loads(json.dumps(settings))
    stamp = folder / "simulation.json"
    if stamp.is_file():
        present = json.loads(stamp.read_text())
        if present != settings:
            raise InputError(
                f"{folder} holds another simulation: expected {settings}, found "
                f"{present}"
            )
    elif folder.is_dir() and any(
        # A killed process may leave a half-written stamp, which does no harm.
        not path.name.startswith(f".{stamp.name}-")
        for path in folder.iterdir()
    ):
        raise InputError(f"{folder} must be new or empty to simulate into")
    folder.mkdir(parents=True, exist_ok=True)
    with cache.replacing(stamp) as scratch:
        scratch.write_text(json.dumps(settings, indent=1))
    sources = [
        (Source(population, seed, split), count)
        for split, count in (("train", train), ("test", test))
    ]
    jobs = [(folder, *job) for source, count in sources for job in _jobs(source, count)]
    missing = [job for job in jobs if not cache.whole(_part(*job[:3]))]
    sizes = [stop - start for *_, start, stop in missing]
    finished = zip(sizes, each(_write, missing, _called))
    for _ in progress(finished, sum(sizes), "simulate"):
        pass
    _tables(folder, [pd.read_parquet(_part(*job[:3])) for job in jobs])


def _tables(folder, parts):
    truth = pd.concat(parts, ignore_index=True)
    train = truth[truth["split"] == "train"]
    test = truth[truth["split"] == "test"]
    with cache.replacing(folder / "truth.parquet") as scratch:
        truth.to_parquet(scratch, index=False)
    with cache.replacing(folder / "sample_submission.csv") as scratch:
        test[["id"]].assign(target=0.5).to_csv(scratch, index=False)
    with cache.replacing(folder / "training_labels.csv") as scratch:
        train[["id", "target"]].to_csv(scratch, index=False)
