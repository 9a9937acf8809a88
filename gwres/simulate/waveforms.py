"""Polarisations of binary black holes, and the bank that training draws from."""

import logging
from functools import cache

import lal
import numpy as np
import pandas as pd
from bilby.gw.conversion import chirp_mass_and_mass_ratio_to_component_masses
from bilby.gw.source import lal_binary_black_hole

from gwres import cache as caches
from gwres import proof
from gwres.engine.work import each
from gwres.progress import progress
from gwres.simulate.detectors import patterns
from gwres.simulate.noise import GAUSSIAN, HERTZ, inner, measured
from gwres.simulate.population import INTRINSIC, PLACE, TAPER_S
from gwres.strain import BAND, DETECTORS, WHITENED_RATE

STEP_HZ = 1 / 8  # what lasts more than 8 s would wrap round: see `LONGEST_S`
# Signals that are cut begin where Newton's inspiral would last this long. Higher orders
# and spins make that 2 to 6 s, longer than any part that is kept, and no wrap.
LONGEST_S = 4.0
REFERENCE_MPC = 1000.0
CHUNK = 256
ATTEMPTS = 10


def bank_frequencies(segment):
    """Frequencies of a bank, Hz: the bins of its `Segment` within `BAND`."""
    frequencies = np.fft.rfftfreq(segment.samples, 1 / WHITENED_RATE)
    return frequencies[(frequencies >= BAND[0]) & (frequencies < BAND[1])]


def _begin_hz(chirp_mass):
    """Frequency at which Newton's inspiral is `LONGEST_S` before its merger, Hz.

    f = (5 / (256 t))^(3/8) (G M / c^3)^(-5/8) / pi, with the chirp mass M.
    """
    mass = chirp_mass * lal.MTSUN_SI
    return (5 / (256 * LONGEST_S)) ** 0.375 * mass**-0.625 / np.pi


def _cut(spectra, held_s):
    """Spectra without what is more than `held_s` before the merger at time zero."""
    series = np.fft.irfft(spectra, axis=-1)
    samples = series.shape[-1]
    before = (samples - np.arange(samples)) * (1 / STEP_HZ / samples)
    # The second half of the series are times before zero.
    rise = np.clip((held_s + TAPER_S - before) / TAPER_S, 0, 1)
    rise[: samples // 2] = 1
    return np.fft.rfft(series * np.sin(np.pi / 2 * rise) ** 2, axis=-1)


def polarisations(parameters, approximant, high_hz, held_s=None):
    """Plus and cross of one binary, with the merger at time zero.

    Args:
        parameters: dict of `INTRINSIC` names to floats, solar masses and rad.
        approximant: lalsimulation's name of the waveform.
        high_hz: the last frequency, Hz.
        held_s: as `Population.held_s`, below 4 s: the signal is cut that long before
            its merger, and rises over `TAPER_S` before that.

    Returns:
        complex128 (2, n): the continuous Fourier transform in strain/Hz at
        `REFERENCE_MPC`, every `STEP_HZ` from 0 to `high_hz`.

    Raises:
        FloatingPointError: the approximant gave NaN or infinity, as IMRPhenomXPHM
            does for rare parameters.
    """
    mass_1, mass_2 = chirp_mass_and_mass_ratio_to_component_masses(
        parameters["chirp_mass"], parameters["mass_ratio"]
    )
    orientation = {k: parameters[k] for k in INTRINSIC[2:]}
    lowest = BAND[0]
    if held_s is not None:
        lowest = max(lowest, _begin_hz(parameters["chirp_mass"]))
    waveform = lal_binary_black_hole(
        np.arange(round(high_hz / STEP_HZ) + 1) * STEP_HZ,
        mass_1=mass_1,
        mass_2=mass_2,
        luminosity_distance=REFERENCE_MPC,
        waveform_approximant=approximant,
        reference_frequency=BAND[0],
        minimum_frequency=lowest,
        maximum_frequency=high_hz,
        **orientation,
    )
    spectra = np.stack([waveform["plus"], waveform["cross"]])
    if not np.isfinite(spectra).all():
        raise FloatingPointError(f"{approximant} is not finite at {parameters}")
    return spectra if held_s is None else _cut(spectra, held_s)


def draw(population, rng, high_hz):
    """Draw a binary that has a finite waveform.

    Returns:
        (dict of `INTRINSIC` names to floats, its `polarisations` up to `high_hz`).
    """
    for _ in range(ATTEMPTS):
        arrays = population.draw(rng, 1, INTRINSIC)
        parameters = {name: float(values[0]) for name, values in arrays.items()}
        try:
            return parameters, polarisations(
                parameters, population.approximant, high_hz, population.held_s
            )
        except FloatingPointError as error:
            logging.getLogger(__name__).warning("%s: drawing another", error)
    raise FloatingPointError(
        f"{ATTEMPTS} draws of {population.name} without one finite waveform"
    )


def _segment(spectra, segment):
    """Cut polarisations of 8 s to a `Segment`: complex64 (2, bins)."""
    series = np.fft.irfft(spectra, axis=-1) * WHITENED_RATE
    merger = round(segment.merger_s * WHITENED_RATE)
    series = np.roll(series, merger, axis=-1)[:, : segment.samples]
    rise = int(TAPER_S * WHITENED_RATE)
    series[:, :rise] *= np.sin(np.pi / 2 * np.arange(rise) / rise) ** 2
    cut = np.fft.rfft(series / REFERENCE_STRAIN)
    first = round(BAND[0] * segment.samples / WHITENED_RATE)
    return cut[:, first : first + len(bank_frequencies(segment))].astype(np.complex64)


# The bank is in units of this strain, so that float32 holds its squares.
REFERENCE_STRAIN = 1e-21


def _chunk(job):
    population, seed, number, count, real = job
    rng = np.random.default_rng([seed, number])
    binaries = [draw(population, rng, BAND[1]) for _ in range(count)]
    segment, of = population.segment, powers if real else power
    spectra = np.stack([_segment(waveform, segment) for _, waveform in binaries])
    heard = np.stack([of(waveform) for _, waveform in binaries])
    return spectra, heard, [parameters for parameters, _ in binaries]


def _called(job):
    _, _, number, count, _ = job
    return f"waveforms {number * CHUNK} to {number * CHUNK + count - 1}"


def power(both, asds=None):
    """What a binary's squared optimal SNR in each detector is made of.

    Args:
        both: plus and cross, from `polarisations`.
        asds: those of the noise, as for `noise.inner`; None for G2Net's.

    Returns:
        float64 (3, 3), detector by (plus, cross, overlap), at `REFERENCE_MPC`.
    """
    frequencies = np.arange(both.shape[1]) * STEP_HZ
    plus, cross = both[:, None]
    pairs = (plus, plus), (cross, cross), (plus, cross)
    products = [inner(one, other, frequencies, asds) for one, other in pairs]
    return np.stack(products, axis=-1)


@cache
def _curves(bins):
    """4 df / S of all measured curves, one detector's after the other, (curves, n)."""
    frequencies = np.arange(bins) * STEP_HZ
    band = (frequencies >= BAND[0]) & (frequencies < frequencies[-1])
    rows = np.concatenate([measured(detector) for detector in DETECTORS])
    asds = [np.interp(frequencies[band], HERTZ, row) for row in rows]
    return band, 4 * STEP_HZ / np.stack(asds) ** 2


def powers(both):
    """As `power`, for each of the measured curves of `noise.measured`.

    Returns:
        float64 (curves, 3), those of H1 first, then of L1 and V1.
    """
    band, weights = _curves(both.shape[1])
    plus, cross = both[:, band]
    products = np.abs(plus) ** 2, np.abs(cross) ** 2, (plus * cross.conj()).real
    return weights @ np.stack(products).T


def reach(powers, patterns):
    """Distance at which the optimal SNR of the network is 1.

    Args:
        powers: (n, 3, 3), from `power`.
        patterns: (n, 3, 2), antenna patterns.

    Returns:
        (n,), Mpc.
    """
    plus, cross = np.moveaxis(patterns, -1, 0)
    factors = np.stack([plus**2, cross**2, 2 * plus * cross], axis=-1)
    return REFERENCE_MPC * np.sqrt((factors * powers).sum(axis=(1, 2)))


def place(population, powers, rng, present=None):
    """Put binaries somewhere in the sky, each as loud as it may be.

    Args:
        population: a `Population`.
        powers: `power` of each binary, (n, 3, 3).
        rng: numpy Generator.
        present: which detectors have data and count for the SNR, (n, 3); by default
            all.

    Returns:
        dict of `EXTRINSIC` names to float64 (n,).
    """
    count = len(powers)
    quantile, sky = rng.random(count), population.draw(rng, count, PLACE)
    if present is not None:
        powers = powers * present[..., None]
    within = reach(powers, patterns(sky["ra"], sky["dec"], sky["psi"]))
    return {
        "luminosity_distance": population.loudness.distance(quantile, within),
        **sky,
    }


def bank(population, count, seed, noise=GAUSSIAN):
    """The folder of a bank of waveforms, made once per description and cached.

    Args:
        population: a `Population`.
        count: number of waveforms.
        seed: seed of the random draws.
        noise: the `Noise` that the waveforms will be heard in.

    Returns:
        Path of a folder with `spectra.npy`, complex64 (count, 2, bins) at
        `bank_frequencies` in DFT units of `REFERENCE_STRAIN` at `REFERENCE_MPC`,
        `power.npy`, the `power` of each, or its `powers` where the noise is `real`,
        and `parameters.parquet`, a row per waveform.
    """

    def make(folder):
        chunks = range(-(-count // CHUNK))
        sizes = [min(CHUNK, count - number * CHUNK) for number in chunks]
        jobs = [
            (population, seed, n, size, noise.real) for n, size in zip(chunks, sizes)
        ]
        rows, heard = [], []
        with open(folder / "spectra.npy", "wb") as file:
            shape = (count, 2, len(bank_frequencies(population.segment)))
            proof.begin_array(file, np.complex64, shape)
            finished = zip(sizes, each(_chunk, jobs, _called))
            for chunk in progress(finished, count, "bank", "waveform"):
                spectra, power, parameters = chunk
                file.write(spectra.tobytes())
                heard.append(power)
                rows += parameters
        np.save(folder / "power.npy", np.concatenate(heard).astype(np.float32))
        pd.DataFrame(rows).to_parquet(folder / "parameters.parquet")

    return caches.folder("bank", describe(population, count, seed, noise), make)


def describe(population, count, seed, noise=GAUSSIAN):
    """All that a bank depends on, as the key of its cache."""
    segment = population.segment
    curves = {"curves": "o3"} if noise.real else {}
    return curves | {
        "population": population.key,
        "count": count,
        "seed": seed,
        "layout": [segment.samples, segment.merger_s, TAPER_S, *BAND, STEP_HZ, 2],
    }
