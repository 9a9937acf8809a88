"""Batches of whitened windows: live injection, or packed windows with augmentation."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from gwres.cores import cores
from gwres.data.reading import noted
from gwres.data.settings import kept, loudness
from gwres.layers.augment import augment
from gwres.layers.inject import disturb, respond, white
from gwres.layers.whiten import gain, resampled
from gwres.simulate.detectors import delays, patterns
from gwres.simulate.waveforms import REFERENCE_MPC, bank_frequencies, place
from gwres.strain import DETECTORS, WHITENED_RATE, WHITENED_SAMPLES


@dataclass(frozen=True)
class Injection:
    """Whitened noise and whitened signals, as live training sees them.

    Args:
        frequencies: frequencies of the bank, Hz, (n,) float32.
        gains: whitening gain of each detector, (3, n).
        band: factor of the whitening's band on amplitudes, (n,), 0 to 1.
        start: first sample of a window in the bank's segment.
    """

    frequencies: np.ndarray
    gains: np.ndarray
    band: np.ndarray
    start: int

    @classmethod
    def through(cls, asd, segment):
        """Make it for whitening by an ASD, as `whiten.fit_asd` gives it.

        Args:
            asd: (3, 2049).
            segment: `Population.segment` of the bank's population.
        """
        frequencies = bank_frequencies(segment).astype(np.float32)
        gains = gain(resampled(asd, frequencies), frequencies)
        level = gain(np.ones_like(frequencies), frequencies)
        band = level * np.sqrt(WHITENED_RATE / 2)
        return cls(frequencies, gains, band, segment.start)

    @property
    def shape(self):
        """Shape of the normal draws for one window of noise: (3, n, 2)."""
        return len(DETECTORS), len(self.frequencies), 2

    def noise(self, normals, colour=None, disturbed=(0.0, 0.0)):
        """Noise (batch, 2048, 3) from standard normal draws (batch, 3, n, 2).

        Args:
            normals: the draws.
            colour: as `Moments` has it, (batch, 3, n); None for `band`.
            disturbed: as `inject.white` takes it.
        """
        window = self.start, WHITENED_SAMPLES
        band = self.band if colour is None else colour
        return white(normals, band, self.frequencies, *window, disturbed)

    def signal(self, spectra, response, arrival, gains=None):
        """Signals (batch, 2048, 3) from the bank's waveforms.

        Args:
            spectra: from the bank, (batch, 2, n, 2); real and imaginary part last.
            response: antenna patterns, as `recorded` gives them.
            arrival: arrival times, as `recorded` gives them.
            gains: as `Moments` has them, (batch, 3, n); None for `gains`.
        """
        window = self.start, WHITENED_SAMPLES
        gains = self.gains if gains is None else gains
        return respond(spectra, response, arrival, gains, self.frequencies, *window)


def recorded(extrinsic, segment, factor=1.0):
    """The detectors' response to waveforms of the bank.

    Args:
        extrinsic: dict of luminosity_distance, ra, dec, psi and merger_time, each (n,).
        segment: `Population.segment` of the bank's population.
        factor: factor on the amplitude.

    Returns:
        (antenna patterns times the bank's distance over the signal's, (n, 3, 2)
        float32; arrival times less the bank's, s, (n, 3) float32).
    """
    sky = extrinsic["ra"], extrinsic["dec"]
    nearer = factor * REFERENCE_MPC / extrinsic["luminosity_distance"]
    response = patterns(*sky, extrinsic["psi"]) * nearer[:, None, None]
    arrival = extrinsic["merger_time"][:, None] + delays(*sky) - segment.nominal_s
    return response.astype(np.float32), arrival.astype(np.float32)


@dataclass(frozen=True)
class Bank:
    """A bank of waveforms in memory, loaded once for all batches.

    Args:
        spectra: float16 (count, 2, bins, 2): real and imaginary part last. In the
            bank's units they stay below 100, and rounding is far below the noise.
        powers: `waveforms.power` of each waveform, (count, 3, 3), or its `powers`.
    """

    spectra: np.ndarray
    powers: np.ndarray

    @classmethod
    def load(cls, folder):
        """Load what `waveforms.bank` has written."""
        spectra = np.load(folder / "spectra.npy", mmap_mode="r")
        parts = spectra.view(np.float32).reshape(*spectra.shape, 2)
        return cls(parts.astype(np.float16), np.load(folder / "power.npy"))


def live(bank, population, asd, config, seed, steps, first=0, moments=None):
    """Batches for training on simulated data, made on the fly.

    A batch depends on the seed and its step alone, so that a training run that was
    stopped continues with the same batches.

    Args:
        bank: a `Bank`.
        population: a `Population`, for sky, time, loudness and missing detectors.
        asd: as `whiten.fit_asd` gives it.
        config: a `settings.Live`.
        seed: seed of the random draws.
        steps: batches in the whole training.
        first: the step to begin with.
        moments: `Moments`, where the noise is as real detectors have it, and the bank's
            powers those of their curves; None for Gaussian noise.

    Returns:
        tf.data.Dataset of (whitened (batch, 2048, 3), label (batch, 1)).
    """
    segment = population.segment
    injection = Injection.through(asd, segment)
    pairs = config.batch // 2
    labels = np.repeat([1.0, 0.0], pairs).astype(np.float32)[:, None]
    with tf.device("cpu"):
        spectra = tf.constant(bank.spectra)
        if moments:
            gains, colour = tf.constant(moments.gains), tf.constant(moments.colour)
            shapes = tf.constant(moments.shapes)

    def draws():
        for step in range(first, steps):
            rng = np.random.default_rng([seed, step])
            factor = loudness(step, steps, config)
            key = rng.integers(2**31, size=2, dtype=np.int32)
            index = rng.integers(len(bank.powers), size=pairs)
            there = population.present(rng, pairs)
            powers, disturbed = bank.powers[index], ()
            if moments:
                drawn = moments.draw(rng, pairs, config, population.merger_s)
                state, glitches = drawn
                curve = moments.curve[np.arange(len(DETECTORS)), state]
                powers = bank.powers[index[:, None], curve]
                disturbed = state, *vars(glitches).values()
            extrinsic = place(population, powers, rng, there)
            response, arrival = recorded(extrinsic, segment, factor)
            present = kept(rng, there, config.drop)
            targets = rng.permutation(labels) if config.permute else labels
            yield key, index, response, arrival, present, targets, *disturbed

    def batch(key, index, response, arrival, present, targets, *disturbed):
        normals = tf.random.stateless_normal((pairs, *injection.shape), key)
        chosen = tf.cast(tf.gather(spectra, index), tf.float32)
        if moments:
            noise, own = moving(normals, *disturbed)
        else:
            noise, own = injection.noise(normals), None
        signal = injection.signal(chosen, response, arrival, own)
        windows = tf.concat([noise + signal, noise], axis=0)
        return windows * tf.tile(present, (2, 1))[:, None], targets

    def moving(normals, state, window, detector, row, snr, late):
        """Noise of moments with glitches, and the gains of whitening in them."""
        place = tf.broadcast_to(tf.range(detectors), (pairs, detectors))
        moment = tf.stack([place, state], axis=-1)
        own, colours = (
            tf.cast(tf.gather_nd(table, moment), tf.float32)
            for table in (gains, colour)
        )
        chosen = tf.gather_nd(shapes, tf.stack([detector, row], axis=-1))
        channel = window * detectors + detector
        disturbed = disturb(
            tf.cast(chosen, tf.float32), snr, late, channel, own, injection.frequencies
        )
        return injection.noise(normals, colours, disturbed), own

    detectors = len(DETECTORS)
    signature = (
        tf.TensorSpec((2,), tf.int32),
        tf.TensorSpec((pairs,), tf.int64),
        tf.TensorSpec((pairs, detectors, 2), tf.float32),
        tf.TensorSpec((pairs, detectors), tf.float32),
        tf.TensorSpec((pairs, detectors), tf.float32),
        tf.TensorSpec(labels.shape, tf.float32),
    )
    if moments:
        signature += (
            tf.TensorSpec((pairs, detectors), tf.int32),
            *(tf.TensorSpec((None,), tf.int32) for _ in range(3)),
            *(tf.TensorSpec((None,), tf.float32) for _ in range(2)),
        )
    return _parallel(draws, signature, batch)


def _parallel(draws, signature, make):
    """Batches computed from random draws, in order, on all cores.

    Args:
        draws: generator function, which yields the draws for a batch.
        signature: their tuple of tf.TensorSpec.
        make: function of the draws to a batch, run in the graph.
    """
    # Left to tune itself, tf.data waits by the wall clock: set back by a day, it would
    # keep a training that is done waiting for as long.
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = tf.data.Dataset.from_generator(
        lambda: noted(draws()), output_signature=signature
    )
    dataset = dataset.map(make, num_parallel_calls=cores(), deterministic=True)
    return dataset.prefetch(cores()).with_options(options)


# Largest shift of a packed window, samples: what wraps round must stay in the faded
# ends.
SHIFT = int(0.03 * WHITENED_RATE)


def packed(windows, labels, config, seed, steps, first=0):
    """Batches for training on packed windows, with augmentation.

    Shuffled, then repeated, so that every window comes once before any comes again. The
    order within an epoch depends on the seed and the epoch alone.

    Args:
        windows: a `pack.Packed`, float16 (n, 2048, 3), whitened.
        labels: (n,), 0 or 1.
        config: a `settings.Live`; only `batch`, `drop` and `permute` are used.
        seed: seed of the random draws.
        steps: batches in the whole training.
        first: the step to begin with.

    Returns:
        tf.data.Dataset of (whitened (batch, 2048, 3), label (batch, 1)).
    """
    count = len(windows)

    def order(epoch):
        return np.random.default_rng([seed, epoch]).permutation(count)

    def draws():
        epoch, shuffled = -1, None
        for step in range(first, steps):
            places = np.arange(step * config.batch, (step + 1) * config.batch)
            chosen = []
            for now in np.unique(places // count):
                if now != epoch:
                    epoch, shuffled = now, order(now)
                chosen.append(shuffled[places[places // count == now] % count])
            chosen = np.concatenate(chosen)
            rng = np.random.default_rng([seed, step, 1])
            there = np.ones((config.batch, len(DETECTORS)), bool)
            present = kept(rng, there, config.drop)
            sign = rng.choice([-1.0, 1.0], config.batch).astype(np.float32)
            swap = rng.integers(2, size=config.batch).astype(np.float32)
            shift = rng.integers(-SHIFT, SHIFT + 1, config.batch).astype(np.int32)
            targets = labels[chosen].astype(np.float32)[:, None]
            targets = rng.permutation(targets) if config.permute else targets
            white = windows[chosen].astype(np.float32)
            yield white, targets, sign, swap, shift, present

    batch = (config.batch,)
    signature = (
        tf.TensorSpec((*batch, WHITENED_SAMPLES, len(DETECTORS)), tf.float32),
        tf.TensorSpec((*batch, 1), tf.float32),
        tf.TensorSpec(batch, tf.float32),
        tf.TensorSpec(batch, tf.float32),
        tf.TensorSpec(batch, tf.int32),
        tf.TensorSpec((*batch, len(DETECTORS)), tf.float32),
    )

    def augmented(windows, label, sign, swap, shift, keep):
        return augment(windows, sign, swap, shift, keep), label

    return _parallel(draws, signature, augmented)
