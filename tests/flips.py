"""One bit is flipped anywhere in what is stored, and what reads it is called.

It must give what it gives without, made again if need be, or refuse by `InputError`:

    python -m tests.flips 200

flips that many bits, over all kinds of what is cached, packed, kept by a job that was
stopped, logged and shipped, and tells what became of them. The kinds are functions of
a folder to (what is flipped: a folder or file; a function that reads it). Numbers that
are read are compared to the last bit.
"""

import hashlib
import os
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd

from gwres import cache
from gwres.data import corpus, material, moments, pack, pipeline, unlabelled
from gwres.data.corpus import open_corpus
from gwres.data.settings import Data, Live
from gwres.errors import InputError
from gwres.jobs import predict
from gwres.judging import predictions
from gwres.layers.whiten import FREQUENCIES
from gwres.matched import design, score
from gwres.models import pretrained
from gwres.models.classifier import classifier, network
from gwres.models.resnet import ResNet
from gwres.search import rehearsal, windows
from gwres.search.strain import open_strain
from gwres.serve import registered
from gwres.simulate import dataset, waveforms
from gwres.simulate import noise as noises
from gwres.simulate.noise import asd, noise
from gwres.simulate.population import population
from gwres.strain import DETECTORS, SCALE
from gwres.tracking import log, registry, runs
from gwres.training import epochs, fit
from gwres.training.recipe import Recipe

G2NET = population("g2net")
CURVE = np.stack([asd(name, FREQUENCIES) for name in DETECTORS]) / SCALE
OTHER = "OTHER NUMBERS"
SMALL = {"bank": 48, "judged": 40, "psd_windows": 40}


def fingerprint(values):
    """A hash of arrays, tables and what else there is, however nested."""
    found = hashlib.sha256()

    def add(value):
        if isinstance(value, pd.DataFrame):
            found.update(value.to_csv().encode())
        elif isinstance(value, dict):
            add([[key, value[key]] for key in sorted(value)])
        elif isinstance(value, list | tuple):
            for one in value:
                add(one)
        elif isinstance(value, np.ndarray):
            found.update(f"{value.shape} {value.dtype}".encode() + value.tobytes())
        else:
            found.update(repr(value).encode())

    add(values)
    return found.hexdigest()


def bank(_):
    def read():
        folder = waveforms.bank(G2NET, 24, seed=1)
        held = pipeline.Bank.load(folder)
        rows = pd.read_parquet(folder / "parameters.parquet")
        return held.spectra, held.powers, rows

    read()
    return cache.root() / "bank", read


def judged(_):
    def read():
        held = corpus.judged_windows(G2NET, "holdout", 24)
        return held.table, [strain for strain, _ in held.chunks(10)]

    read()
    return cache.root() / "windows", read


def filters(_):
    def read():
        made = design.filters(G2NET, CURVE, 200)
        return [vars(part) for part in vars(made).values()]

    read()
    return cache.root() / "filters", read


def levels(folder):
    filters(folder)
    return cache.root() / "noise", filters(folder)[1]


def scores(_):
    held = corpus.judged_windows(G2NET, "gate", 8)

    def read():
        return score.baseline(held, CURVE, G2NET)

    read()
    return cache.root() / "matched_filter", read


def spectra(_):
    def read():
        return vars(moments.Moments.load(moments.moments(11, G2NET.segment)))

    read()
    return cache.root() / "moments", read


def states(_):
    spectra(_)
    return cache.root() / "states", spectra(_)[1]


def plain(folder):
    """What another machine trains from is not made again there."""
    place = shutil.copytree(material.prepare("g2net", 24), folder / "material")

    def read():
        opened = material.open_material(place)
        return opened.arrays, [vars(part) for part in vars(opened.made).values()]

    return place, read


def _simulated(folder):
    place = folder / "set"
    dataset.write(place, population("volumetric"), 60, 4, seed=3)
    return place


def packed(folder):
    data = Data(source=str(_simulated(folder)))

    def read():
        opened = open_corpus(data)
        batches = opened.batches(Live(batch=16), 0, 4)
        return [(x.numpy(), y.numpy()) for x, y in batches], opened.validation()[0][:]

    read()
    return cache.root() / "pack", read


def shared(folder):
    opened, out = open_corpus(Data(source=str(_simulated(folder)))), folder / "packed"
    pack.write(out, opened, {"psd_windows": 2000})

    def read():
        again = open_corpus(Data(source=str(out)))
        tables = [part.table for part in again.judged.values()]
        strain = [part[:] for part in again.judged.values() if len(part)]
        batches = again.batches(Live(batch=16), 0, 4)
        read = [(x.numpy(), y.numpy()) for x, y in unwrapped(batches)]
        return tables, strain, read, again.asd, again.validation()[0][:]

    return out, read


def unwrapped(batches):
    from gwres.data.reading import unwrapped

    with unwrapped():
        yield from batches


def parts(folder):
    """A data set that was stopped before its tables were written."""
    place = _simulated(folder)

    def read():
        dataset.write(place, population("volumetric"), 60, 4, seed=3)
        return pd.read_parquet(place / "truth.parquet")

    return place / ".parts", read


class _Stopped(Exception):
    pass


def checkpoint(folder):
    recipe = Recipe().vary(SMALL | {"depth": 16, "width": 2, "samples": 128})
    recipe = recipe.vary({"epochs": 4, "batch": 16, "frontend": "waveform"})
    opened, place = open_corpus(recipe.data), folder / "training"
    place.mkdir()

    def stop(row):
        if row["epoch"] == 1:
            raise _Stopped

    try:
        fit.fit(recipe, opened, place, on_epoch=stop)
    except _Stopped:
        pass

    def read():
        given = place, opened.validation(), 4, 2, 16
        went = epochs.Epochs(*given, earliest=0, patience=6, on_epoch=None)
        model = went.resume()
        return None if model is None else (model.get_weights(), went.rows)

    return place, read


def _scored(strain, asds=None):
    return pd.DataFrame({"logit": strain[:, 0, :7].sum(axis=1) * 1e21})


def submission(folder):
    root, work = _simulated(folder), folder / "predict"
    work.mkdir()
    held = unlabelled.Files(root)

    def read():
        predict.write(held, _scored, folder / "out.csv", work)
        return pd.read_csv(folder / "out.csv", dtype=str)

    read()
    return work, read


def stretch(folder):
    path, work = folder / "quiet.hdf", folder / "search"
    work.mkdir()
    rehearsal.write(path, 160, seed=1, busy=0.0)
    recording = open_strain(path)

    def read():
        return np.array(windows.whiten(recording, work).strain)

    read()
    return work, read


class _Store:
    """A store with one run, its predictions and its model."""

    def __init__(self, folder):
        self.strain = noise(np.random.default_rng(0), 2)
        mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
        os.chdir(folder)
        made = network(ResNet(16, 2), "waveform", design.filters(G2NET, CURVE, 200))
        rows = {"id": list("abcd"), "label": [0, 1, 0, 1], "logit": [0.1, 2, -1, 0.5]}
        table = pd.DataFrame(rows).assign(split="gate", network_snr=np.nan)
        out = folder / "out"
        out.mkdir()
        predictions.write(out, {"gate": table, "stack": table.assign(split="stack")})
        with log.run("train") as active:
            log.files(out)
            self.model = log.model(classifier(made, CURVE), self.strain[:1])
            self.run = runs.read(active.id)

    def home(self):
        kept = mlflow.get_logged_model(self.model).artifact_location
        return Path(kept.removeprefix("file://"))


def tables(folder):
    store = _Store(folder)
    place = Path(store.run.artifact_uri.removeprefix("file://")) / "predictions"

    def read():
        one = runs.predictions(store.run.id, "gate")
        return one, runs.tables(store.run.id)

    return place, read


def model(folder):
    store = _Store(folder)

    def read():
        return registered.load(f"models:/{store.model}")(store.strain)

    return store.home() / "artifacts", read


def described(folder):
    """What MLflow itself reads of a model."""
    store = _Store(folder)

    def read():
        uri = registry.pin(f"models:/{store.model}")
        return registered.load(uri)(store.strain)

    return store.home() / "MLmodel", read


def weights(folder):
    place = folder / "weights"
    place.mkdir()
    made = network(ResNet(16, 2), "waveform", design.filters(G2NET, CURVE, 200))
    card = pretrained.Card(
        "resnet16-waveform", {"depth": 16, "width": 2, "norm": "none", "kernel": 7},
        "g2net", 0, 0.0, (0.0, 0.0, 0.0), 0.0, "", "", [],
    )  # fmt: skip
    card = replace(card, network=card.network | {"dropout": 0.0})
    pretrained.save(made, card, place)

    def read():
        path = pretrained.find("resnet16-waveform", ResNet(16, 2), place)
        pretrained.load(made, path)
        return made.get_weights(), vars(pretrained.cards(place)["resnet16-waveform"])

    return place, read


KINDS = (bank, judged, filters, levels, scores, spectra, states, plain, packed, shared)
KINDS += (parts, checkpoint, submission, stretch, tables, model, described, weights)


class Flipped:
    """A kind of what is stored, in a folder and with a cache of its own.

    Args:
        kind: one of `KINDS`.
        folder: empty.
    """

    def __init__(self, kind, folder):
        self.folder = Path(folder)
        os.environ["GWRES_CACHE"] = str(self.folder / "cache")
        self.place, self.read = kind(self.folder)
        self.expected = fingerprint(self.read())
        self.kept = self.folder / "kept"
        self._copy(self.place, self.kept)

    @staticmethod
    def _copy(source, target):
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy2(source, target)

    def flip(self, rng):
        """Flip a bit: (what became of it, where it was)."""
        files = [self.place] if self.place.is_file() else sorted(self.place.rglob("*"))
        files = [one for one in files if one.is_file() and one.stat().st_size]
        path = files[rng.integers(len(files))]
        data = bytearray(path.read_bytes())
        byte, bit = int(rng.integers(len(data))), int(rng.integers(8))
        data[byte] ^= 1 << bit
        path.write_bytes(data)
        where = f"{path.relative_to(self.folder)}, byte {byte}, bit {bit}"
        os.environ["GWRES_CACHE"] = str(self.folder / "cache")
        cache._checked.clear()  # as in a process that has not read it yet
        try:
            found = self.read()
        except InputError:
            became = "refused"
        else:
            same = fingerprint(found) == self.expected
            became = "as it was" if same else OTHER
            # The training begins anew, from where it began.
            became = "begins anew" if found is None else became
        finally:
            self._restore()
        return became, where

    def _restore(self):
        if self.place.is_dir():
            shutil.rmtree(self.place)
        self._copy(self.kept, self.place)


def main(count):
    """Flip bits, the kinds in turn, and print what became of them."""
    # What is made again is made here, and of few states: no process need start.
    for module in (waveforms, dataset, noises):
        module.each = lambda job, jobs, _: map(job, jobs)
    noises.STATES = noises.CHUNK
    rng, found = np.random.default_rng(0), {}
    for number, kind in enumerate(KINDS):
        own = len(range(number, count, len(KINDS)))
        with tempfile.TemporaryDirectory() as folder:
            flipped = Flipped(kind, folder)
            for _ in range(own):
                became, where = flipped.flip(rng)
                found.setdefault(kind.__name__, Counter())[became] += 1
                if became == OTHER:
                    sys.stdout.write(f"{kind.__name__}: {became}: {where}\n")
            os.chdir("/")
        sys.stdout.write(f"{kind.__name__}: {dict(found[kind.__name__])}\n")
        sys.stdout.flush()
    sys.stdout.write(f"all: {dict(sum(found.values(), Counter()))}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
