"""Simulated training data as plain arrays, for machines that only train.

`prepare` needs bilby and lalsuite and makes a folder; `open_material` needs NumPy and
Keras, whatever its backend. Sky, distance and waveforms come with the folder; the host
draws which of them a window gets, and its noise; noise and signals are made in
`keras.ops` on the backend's own device.
"""

import json
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path

import keras
import numpy as np

from gwres import cache, proof
from gwres.data.settings import Data, Live, kept, loudness
from gwres.errors import InputError, within
from gwres.layers.filters import Filters
from gwres.layers.inject import respond, white
from gwres.layers.templates import Grid
from gwres.simulate.population import population
from gwres.strain import DETECTORS, WHITENED_SAMPLES

PLACES = 32  # places in the sky and distances of each waveform
VALIDATED = 8000  # windows, half of them signals
VALIDATION_SEED = 2**30  # far from those that trainings have
# Share of the waveforms, the last ones, that validation alone draws from: on those of
# training, a network that has learned them by heart would look better than it is.
HELD = 0.05
CHUNK = 250
FILES = ("spectra", "response", "arrival", "frequencies", "gains", "band", "asd")


def prepare(name, bank):
    """The folder of a population's material, made once and cached.

    Args:
        name: of the population.
        bank: number of waveforms; 4,096 take 55 MB.

    Returns:
        Path of a folder with what `open_material` reads.
    """
    from gwres.data.corpus import BANK_SEED, PSD_SEED, fitted_asd
    from gwres.data.pipeline import Injection, recorded
    from gwres.matched.design import filters, layout
    from gwres.simulate import waveforms

    within("bank", bank, 2, 10**6)
    drawn = population(name)
    key = {
        "bank": waveforms.describe(drawn, bank, BANK_SEED),
        "filters": layout(drawn),
        "places": PLACES,
        "psd": [PSD_SEED, Data().psd_windows],
        "layout": 3,
    }

    def make(folder):
        source = waveforms.bank(drawn, bank, BANK_SEED)
        spectra = np.load(source / "spectra.npy", mmap_mode="r")
        parts = spectra.view(np.float32).reshape(*spectra.shape, 2)
        powers = np.repeat(np.load(source / "power.npy"), PLACES, axis=0)
        rng = np.random.default_rng(BANK_SEED)
        there = drawn.present(rng, len(powers))
        extrinsic = waveforms.place(drawn, powers, rng, there)
        response, arrival = recorded(extrinsic, drawn.segment)
        response *= there[..., None]
        asd = fitted_asd(Data().psd_windows)
        injection = Injection.through(asd, drawn.segment)
        made = filters(drawn, asd)
        arrays = {
            "spectra": parts.astype(np.float16),
            "response": response.reshape(bank, PLACES, len(DETECTORS), 2),
            "arrival": arrival.reshape(bank, PLACES, len(DETECTORS)),
            **vars(injection),
            "asd": asd,
        }
        for file in FILES:
            np.save(folder / f"{file}.npy", arrays[file])
        grids = {}
        for part, held in vars(made).items():
            arrays = dict(vars(held))
            if "grid" in arrays:
                grids[part] = asdict(arrays.pop("grid"))
            np.savez(folder / f"{part}.npz", **arrays)
        about = {"population": drawn.key, "bank": bank, "grids": grids}
        about["start"] = injection.start
        (folder / "about.json").write_text(json.dumps(about))

    return cache.folder("material", key, make)


@dataclass(frozen=True)
class Material:
    """What a training needs of a `Corpus`, from a folder of `prepare`.

    Args:
        arrays: dict of `FILES` to arrays; the waveforms are a memory map.
        start: first sample of a window in the bank's segment.
        made: `Filters`.
        name: as `Corpus.name`.
    """

    arrays: dict
    start: int
    made: Filters
    name: str
    size: None = None

    @property
    def asd(self):
        """As `Corpus.asd`."""
        return self.arrays["asd"]

    def filters(self):
        """As `Corpus.filters`."""
        return self.made

    def batches(self, live, seed, steps, first=0):
        """As `Corpus.batches`, a keras.utils.PyDataset."""
        return Batches(self, live, seed, steps, first)

    def validation(self):
        """Whitened windows of live injection, and labels, as `Corpus.validation`."""
        return self._validation

    @cached_property
    def _validation(self):
        live = Live(batch=CHUNK, loud=1.0, drop=0.0)
        steps = VALIDATED // CHUNK
        batches = Batches(self, live, VALIDATION_SEED, steps, held=True)
        made = [batches[step] for step in range(len(batches))]
        windows = [keras.ops.convert_to_numpy(x).astype(np.float16) for x, _ in made]
        labels = [y[:, 0] for _, y in made]
        return np.concatenate(windows), np.concatenate(labels).astype(int)


def open_material(folder):
    """Read a folder of `prepare`.

    Raises:
        InputError: it lacks a file, or one is not as it was written.
    """
    folder = Path(folder)
    parts = {part.name: part.type for part in fields(Filters)}
    needed = [f"{name}.npy" for name in FILES] + [f"{name}.npz" for name in parts]
    missing = [f for f in [*needed, "about.json"] if not (folder / f).is_file()]
    if missing:
        raise InputError(f"{folder} must hold training material; no {missing[0]}")
    proof.verify(folder)
    about = json.loads((folder / "about.json").read_text())
    arrays = {
        name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in FILES
    }
    made = {}
    for name, kind in parts.items():
        with np.load(folder / f"{name}.npz", allow_pickle=False) as held:
            held_by = dict(held)
        if name in about["grids"]:
            held_by["grid"] = Grid(**about["grids"][name])
        made[name] = kind(**held_by)
    name = f"material-{about['population']['name']}-{cache.digest(about)}"
    return Material(arrays, about["start"], Filters(**made), name)


class Batches(keras.utils.PyDataset):
    """Batches of whitened windows; each depends on the seed and its step alone.

    Args:
        material: a `Material`.
        live: a `settings.Live`.
        seed: seed of the random draws.
        steps: batches in the whole training.
        first: the step to begin with.
        held: whether to take the waveforms that are held back for validation, and no
            others.
    """

    def __init__(self, material, live, seed, steps, first=0, held=False):
        # One thread of the host draws while the device trains.
        super().__init__(workers=1, max_queue_size=4)
        self.material, self.live, self.seed = material, live, seed
        self.steps, self.first = steps, first
        count = len(material.arrays["arrival"])
        kept = count - max(int(HELD * count), 1)
        self.waveforms = (kept, count) if held else (0, kept)
        arrays, start = material.arrays, material.start
        # `band` is float64, which TensorFlow does not add to float32.
        constants = {name: np.float32(arrays[name]) for name in FILES[3:6]}
        window = start, WHITENED_SAMPLES

        def windows(spectra, response, arrival, normals, present):
            frequencies = constants["frequencies"]
            noise = white(normals, constants["band"], frequencies, *window)
            gains = constants["gains"]
            signal = respond(spectra, response, arrival, gains, frequencies, *window)
            both = keras.ops.concatenate([noise + signal, noise], axis=0)
            return both * keras.ops.tile(present, (2, 1))[:, None]

        self.windows = _compiled(windows)

    def __len__(self):
        """Steps that are left."""
        return self.steps - self.first

    def draws(self, step):
        """What the host draws for a step: the arguments of `windows`."""
        arrays, pairs = self.material.arrays, self.live.batch // 2
        rng = np.random.default_rng([self.seed, step, 2])
        index = rng.integers(*self.waveforms, size=pairs)
        place = rng.integers(arrays["arrival"].shape[1], size=pairs)
        # A polarisation angle a quarter turn larger.
        factor = rng.choice([-1.0, 1.0], pairs) * loudness(step, self.steps, self.live)
        response = arrays["response"][index, place] * factor[:, None, None]
        shape = pairs, len(DETECTORS), len(arrays["frequencies"]), 2
        normals = rng.standard_normal(shape, dtype=np.float32)
        # A detector without data has no response to anything.
        present = kept(rng, response.any(axis=2), self.live.drop)
        return (
            arrays["spectra"][index].astype(np.float32),
            response.astype(np.float32),
            arrays["arrival"][index, place],
            normals,
            present,
        )

    def __getitem__(self, index):
        """Whitened windows (batch, 2048, 3) and labels (batch, 1)."""
        draws = self.draws(self.first + index)
        labels = np.repeat([1.0, 0.0], self.live.batch // 2).astype(np.float32)
        # NumPy's arrays would make some operations compute in double precision.
        tensors = [keras.ops.convert_to_tensor(one) for one in draws]
        return self.windows(*tensors), labels[:, None]


def _compiled(function):
    """The function as one graph, where the backend is JAX; else operation by operation.

    On TensorFlow it runs beside the training, on arrays that are large enough.
    """
    if keras.backend.backend() != "jax":
        return function
    import jax

    return jax.jit(function)
