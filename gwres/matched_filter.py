"""The classical baseline: a bank of templates, scored like any model."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import scipy.fft
from keras import ops
from threadpoolctl import threadpool_limits

from gwres import bayes, cache, draws
from gwres.errors import InputError, among
from gwres.filters import LAYOUT, filters
from gwres.incoherent import RATE, STATISTICS
from gwres.layers.evidence import Evidence
from gwres.layers.templates import Templates
from gwres.layers.whiten import (
    FREQUENCIES,
    RISE_HZ,
    fade,
    fingerprint,
    gain,
    resampled,
    whiten,
)
from gwres.progress import progress
from gwres.simulate.detectors import ORIENTATION
from gwres.simulate.templates import APPROXIMANT, SEED, templates, whitened
from gwres.simulate.waveforms import REFERENCE_MPC, STEP_HZ
from gwres.strain import (
    DETECTORS,
    DURATION,
    SHAPE,
    WHITENED_RATE,
    WHITENED_SAMPLES,
)

# 256 find what 1024 find, and templates that precess find no more (AUC to 0.001).
TEMPLATES = 256
EARTH_S = 0.0213  # and from the geocentre, to which the population's times refer
# `ORIENTATION` averaged over the sky, where the mean of F+^2 + Fx^2 is 2/5.
RESPONSE = 2 / 5 * ORIENTATION
CHUNK = 32  # windows at a time
BLOCK = 32  # templates at a time, so that their series stay in the processor's cache


@dataclass(frozen=True)
class Bank:
    """Whitened templates, ready to be correlated with whitened windows.

    Args:
        spectra: complex64 (3, templates, bins), conjugate DFT of the whitened,
            analytic templates, over what makes an SNR of them.
        scale: float32 (3, templates, times), one over the norm of what a window
            holds of a template that merges at one of `times`.
        times: arrival at a detector, s after the window's start, (times,).
        spread: (3,), variance of each quadrature of a signal's SNR.
    """

    spectra: np.ndarray
    scale: np.ndarray
    times: np.ndarray
    spread: np.ndarray


def bank(plus, asd, population):
    """Whiten templates as windows are whitened, and norm them at each arrival time.

    Args:
        plus: as `templates` gives it.
        asd: as `whiten.fit_asd` gives it, (3, 2049).
        population: a `Population`, for the times of the merger and the distances.

    Returns:
        A `Bank`.
    """
    frequencies = np.arange(plus.shape[1]) * STEP_HZ
    asds = resampled(asd, frequencies)
    series = whitened(plus, gain(asds, frequencies), WHITENED_RATE)
    low, high = population.merger_s
    ticks = np.arange(
        max(0, int((low - EARTH_S) * RATE)),
        min(DURATION * RATE, int((high + EARTH_S) * RATE) + 1),
    )
    # Long enough that no lag wraps round; a template is cut to what the lags reach.
    half = scipy.fft.next_fast_len(DURATION * RATE + len(ticks))
    first, stop = -2 * ticks[-1], WHITENED_SAMPLES - 2 * ticks[0]
    cut = np.zeros((*series.shape[:2], 2 * half), complex)
    cut[..., :stop], cut[..., first:] = series[..., :stop], series[..., first:]
    squares = scipy.fft.rfft(np.abs(cut) ** 2 / 2)
    seen = scipy.fft.rfft(fade(WHITENED_SAMPLES)[:, 0] ** 2, 2 * half)
    norms = scipy.fft.irfft(seen * squares.conj(), 2 * half)[..., 2 * ticks]
    # Where a window holds next to nothing of a template, it should read nothing.
    norms = np.maximum(norms, 1e-3 * norms.max(axis=-1, keepdims=True))
    nearer = (REFERENCE_MPC / population.typical_mpc) ** 2
    return Bank(
        spectra=(scipy.fft.fft(cut)[..., :half].conj() / 2).astype(np.complex64),
        scale=(1 / np.sqrt(norms)).astype(np.float32),
        times=ticks / RATE,
        spread=RESPONSE * nearer * norms.mean(axis=(1, 2)),
    )


def snr(window, templates):
    """Complex SNR of one window with every template at every time.

    z(t) = sum over s of d(s) conj(q(s - t)) / norm(t), where q is the whitened
    template and its quadrature. In noise the real and the imaginary part are standard
    normal; a signal adds its optimal SNR times a phase.

    Args:
        window: whitened, (2048, 3), as `whiten.whiten` gives it.
        templates: a `Bank`.

    Yields:
        complex64 (3, block, times) at `templates.times`, for blocks of templates.

    Source:
        Allen et al., Phys. Rev. D 85, 122006 (2012), section III.
    """
    half = templates.spectra.shape[2]
    data = scipy.fft.rfft(window.T, 2 * half)[:, None, :half].astype(np.complex64)
    ticks = np.round(templates.times * RATE).astype(int)
    keep = slice(ticks[0], ticks[-1] + 1)
    for start in range(0, templates.spectra.shape[1], BLOCK):
        block = slice(start, start + BLOCK)
        series = scipy.fft.ifft(data * templates.spectra[:, block], overwrite_x=True)
        yield series[..., keep] * templates.scale[:, block]


# `coherent` takes H1 and L1 in phase: what the front end `templates` knows untrained.
# `bayes` sums over the population with all three in phase: what nothing can beat.
NAMES = (*STATISTICS, "coherent", "bayes")


def _apart(statistic, population, asd):
    """Function of whitened windows and which detectors they have to their scores."""
    known = bank(templates(population, TEMPLATES), asd, population)

    def judged(white, present):
        for window, there in zip(white, present):
            blocks = [z.real**2 + z.imag**2 for z in snr(window, known)]
            yield STATISTICS[statistic](np.hstack(blocks), known.spread * there)

    return judged


def _coherent(population, asd):
    """The same for the log Bayes factor of `layers.evidence`."""
    known = filters(population, asd)
    series, evidence = Templates(dtype="float32"), Evidence()
    series.fit(known.design)
    evidence.fit(known.prior)

    def judged(white, present):
        cells, _ = evidence(series(white))
        return ops.convert_to_numpy(ops.logsumexp(cells, axis=(1, 2))).tolist()

    return judged


def _bayes(seed, population, asd):
    """The same for `bayes.log_factor`."""
    known = draws.draw(population, asd, seed=seed)

    def judged(white, present):
        # The same draws for every window, whichever others there are.
        return [
            bayes.log_factor(window, there, known, np.random.default_rng([seed, 1]))
            for window, there in zip(white, present)
        ]

    return judged


def score(windows, asd, population, statistic="marginal", seed=0, threads=2):
    """Score windows: the higher, the more like a signal of the population.

    Args:
        windows: strain, an array, memmap or `corpus.Windows` of shape (n, 3, 4096),
            read a few at a time.
            Rows of zeros, detectors that are missing, add nothing.
        asd: as `whiten.fit_asd` gives it, float (3, 2049).
        population: a `Population`: the templates, the merger times and the distances.
        statistic: one of `NAMES`.
        seed: of the draws of `bayes`.
        threads: windows are spread over as many.

    Returns:
        float64 (n,), to be ranked as logits are.

    Raises:
        InputError: a wrong shape, or no such statistic.
    """
    among("statistic", statistic, NAMES)
    if tuple(windows.shape[1:]) != SHAPE:
        raise InputError(
            f"windows: expected shape (n, 3, 4096), received {windows.shape}"
        )
    expected = len(DETECTORS), len(FREQUENCIES)
    if np.shape(asd) != expected:
        raise InputError(f"asd: expected shape {expected}, received {np.shape(asd)}")
    count = len(windows)
    rise = draws.RISE_HZ if statistic == "bayes" else RISE_HZ
    gains = gain(asd, FREQUENCIES, rise)
    prepare = {"coherent": _coherent, "bayes": partial(_bayes, seed)}
    prepare = prepare.get(statistic, partial(_apart, statistic))
    judged = prepare(population, asd)

    def chunk(start):
        strain = np.asarray(windows[start : start + CHUNK])
        white = ops.convert_to_numpy(whiten(strain, gains))
        return list(judged(white, strain.any(axis=-1)))

    starts = range(0, count, CHUNK)
    # Threads of our own: those of the linear algebra beside them would get in the way.
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        done = ((len(scores), scores) for scores in pool.map(chunk, starts))
        scored = list(progress(done, count, "matched filter"))
    return np.array([value for scores in scored for value in scores], dtype=float)


def baseline(made_from, windows, asd, population, statistic="marginal", seed=0):
    """`score`, computed once for a set of windows and cached.

    Args:
        made_from: JSON-able description of the windows, as `dataset.describe` gives it.
        windows: as for `score`.
        asd: as for `score`.
        population: as for `score`.
        statistic: as for `score`.
        seed: as for `score`.

    Returns:
        float64 (n,).

    Raises:
        InputError: as `score`, or the cached scores are of another number of windows.
    """
    key = {
        "windows": made_from,
        "asd": fingerprint(asd),
        "population": asdict(population),
        "statistic": statistic,
        "bank": [APPROXIMANT, TEMPLATES, SEED, RATE],
        "layout": {
            "coherent": LAYOUT,
            "bayes": [*bayes.LAYOUT, seed],
        }.get(statistic, 1),
    }

    def make(folder):
        np.save(folder / "scores.npy", score(windows, asd, population, statistic, seed))

    path = cache.folder("matched_filter", key, make) / "scores.npy"
    scores = np.load(path, allow_pickle=False)
    if len(scores) != len(windows):
        raise InputError(
            f"expected the {len(scores)} windows that {made_from} stands for, "
            f"received {len(windows)}"
        )
    return scores
