"""A matched filter in the graph: whitened strain to SNRs over time and mass."""

import math
from dataclasses import asdict, dataclass, replace

import keras
import numpy as np
from keras import ops
from numpy.lib.stride_tricks import sliding_window_view

from gwres.errors import InputError
from gwres.layers.fitted import Fitted
from gwres.layers.whiten import fade
from gwres.strain import BAND, DETECTORS, EARTH_S, WHITENED_RATE, WHITENED_SAMPLES

AFTER = 32  # samples of a template after its merger
BEGIN_S = 0.0205  # how long before the first merger the first SNR is: light's way
STEP = 32  # samples of which a map's span is a multiple; `teacher` sums over them
SHIFTS = range(-16, 17, 2)  # samples by which a template is moved to match another
# H1 and L1 share a noise curve and so a set of templates, 0; V1 has its own, 1.
CURVES, CURVE = (0, 2), (0, 0, 1)
# The convolution takes blocks of this many samples as channels, which is faster.
FOLD = 16
# The tests of `consistency`. The power just before a merger is that of so many samples,
# of which the band holds `LEVEL`. From so much reduced chi-squared on a test lowers an
# SNR: noise comes there in one cell of fifty.
NEAR, LEVEL = 64, (BAND[1] - BAND[0]) * 2 / WHITENED_RATE
SPAN_FROM, NEAR_FROM = 1.3, 1.5
STEEP = 6  # power of reduced chi-squared by which an SNR falls
TESTS = [NEAR, SPAN_FROM, NEAR_FROM, STEEP]  # what caches depend on
# Delays of L1 after H1, in samples, at which `products` couples them: light takes 10
# ms, and a signal's SNR is high for some milliseconds.
APART = (-8, -4, 0, 4, 8)


@dataclass(frozen=True)
class Grid:
    """Size of a set of templates, and of its map of SNRs.

    Args:
        count: number of templates, in order of chirp mass.
        rank: number of principal components that the templates are sums of.
        length: samples of a template.
        tick: samples between two SNRs, 1, 2 or 4.
        first_s: time of the first SNR, s after the window's start.
        span: samples in which there are SNRs, a multiple of `STEP`.
        pool: ticks that become one step of the map of evidence.
        consistent: whether SNRs are re-weighted by their `consistency`: for noise with
            glitches.
    """

    count: int
    rank: int
    length: int
    tick: int
    first_s: float = 1.4795
    span: int = 352
    pool: int = 4
    consistent: bool = False

    def over(self, low, high):
        """The same grid, with SNRs for mergers from `low` to `high`, s."""
        first = round(low - BEGIN_S, 6)
        steps = math.ceil((high + EARTH_S - first) * WHITENED_RATE / STEP)
        return replace(self, first_s=first, span=STEP * steps)

    @property
    def ticks(self):
        """Number of SNRs."""
        return self.span // self.tick

    @property
    def times(self):
        """Time of each SNR, s after the window's start, (ticks,)."""
        return self.first_s + np.arange(self.ticks) * self.tick / WHITENED_RATE

    @property
    def coupled(self):
        """`APART` in ticks."""
        return tuple(delay // self.tick for delay in APART)

    @property
    def begin(self):
        """First sample that the first SNR is computed from, below 0 before a window."""
        return round(self.first_s * WHITENED_RATE) - (self.length - AFTER)


# The coherent evidence of the coarse grid has 0.003 less ROC-AUC than that of the fine
# one; with a tick of 4 it would have 0.008 less: experiments/README.md.
FINE = Grid(count=64, rank=40, length=1056, tick=2)
COARSE = Grid(count=32, rank=24, length=640, tick=2)
# For populations with light binaries, of many cycles: there the fine grid has 0.001
# less than one twice as fine, and the coarse one 0.005 less than the fine one.
WIDE_FINE = Grid(count=128, rank=80, length=640, tick=2, pool=8)
WIDE_COARSE = Grid(count=64, rank=56, length=640, tick=4)


@dataclass(frozen=True)
class Design:
    """Templates as sums of a few basis waveforms; sizes are those of a `Grid`.

    Args:
        grid: the `Grid`.
        basis: complex64 (2, rank, length), orthonormal, for H1 with L1, and for V1.
        mix: complex64 (2, count, rank), coefficients of each template.
        share: (count,), share of the population that matches this template best; the
            sum is 1.
        power: (2, count), mean squared optimal SNR of the waveforms in that share, at
            the distance they were made for.
    """

    grid: Grid
    basis: np.ndarray
    mix: np.ndarray
    share: np.ndarray
    power: np.ndarray


def design(series, grid):
    """Choose the templates that cover a population best.

    Greedily: the next template is the one that most raises the mean match of all
    waveforms with their best template, maximised over time and phase. The chosen
    templates are then expanded in principal components.

    Args:
        series: complex (2, n, samples): n waveforms, `grid.count` or more, in order of
            chirp mass, whitened for H1 with L1, and for V1; analytic signals at the
            whitened rate, with the merger at sample 0 and the inspiral at the end.
        grid: a `Grid`.

    Returns:
        A `Design`.

    Raises:
        InputError: fewer waveforms than `grid.count`.

    Source:
        Cannon et al., Phys. Rev. D 82, 044025 (2010), for the components.
    """
    count, length = grid.count, grid.length
    if series.shape[1] < count:
        raise InputError(
            f"expected {count} templates or more, received {series.shape[1]}"
        )
    rows = np.roll(series, length - AFTER, axis=-1)[..., :length]
    norms = np.linalg.norm(rows, axis=-1)
    rows = rows / norms[..., None]
    match = _match(rows[0])
    chosen = _cover(match, count)
    parts = [_components(each, each[chosen], grid.rank) for each in rows]
    basis, mix = (np.stack(part).astype(np.complex64) for part in zip(*parts))
    nearest = match[:, chosen].argmax(axis=1)
    matched = np.bincount(nearest, minlength=count)
    # The waveform is the real part, which holds half of the analytic signal's power.
    total = [np.bincount(nearest, norm**2 / 2, count) for norm in norms]
    share, power = matched / len(nearest), np.stack(total) / matched
    return Design(grid, basis, mix, share, power)


def _match(rows):
    """Match of every two rows, (n, n), maximised over phase and `SHIFTS`."""
    match = np.zeros((len(rows), len(rows)), np.float32)
    rows = rows.astype(np.complex64)
    for shift in SHIFTS:
        moved = np.roll(rows, shift, axis=1).conj()
        np.maximum(match, np.abs(rows @ moved.T), out=match)
    return match


def _cover(match, count):
    """Indices of the `count` rows that cover all rows best, in rising order."""
    best, chosen = np.zeros(len(match)), []
    for _ in range(count):
        raised = np.maximum(match, best).sum(axis=1)
        raised[chosen] = -1
        chosen.append(int(raised.argmax()))
        best = np.maximum(best, match[chosen[-1]])
    return np.sort(chosen)


def _components(rows, chosen, rank):
    """Principal components of rows, and the coefficients of the chosen rows.

    The coefficients have norm sqrt(2), which gives each quadrature of an SNR unit
    variance.
    """
    _, _, components = np.linalg.svd(rows, full_matrices=False)
    basis = components[:rank]
    mix = chosen @ basis.conj().T
    return basis, mix * np.sqrt(2) / np.linalg.norm(mix, axis=1, keepdims=True)


def kernels(basis, tick):
    """The basis as `components` takes it.

    Args:
        basis: (length, 2 rank), real parts, then imaginary ones.
        tick: samples between two times.

    Returns:
        (blocks, FOLD, times in a block, 2 rank): shifted to each time of a block.
    """
    starts, parts = range(0, FOLD, tick), basis.shape[1]
    shifted = [ops.pad(basis, [(start, FOLD - start), (0, 0)]) for start in starts]
    return ops.reshape(ops.stack(shifted, 1), (-1, FOLD, len(starts), parts))


def components(x, kernel):
    """What one detector holds of each principal component of the templates.

    Args:
        x: (batch, blocks, FOLD), whitened samples, from `_reach`.
        kernel: as `kernels` gives it.

    Returns:
        (ticks, batch, 2 rank): real parts, then imaginary ones, each of variance 1/2 in
        noise. SNRs are z(t) = sum over s of x(s) conj(q(s - t)), with templates q = mix
        basis: the sum over the basis comes first, because it is far shorter than the
        list of templates.
    """
    *_, times, parts = kernel.shape
    y = ops.conv(x, ops.reshape(kernel, (-1, FOLD, times * parts)), 1, "valid")
    y = ops.reshape(y, (-1, y.shape[1] * times, parts))
    return ops.transpose(y, (1, 0, 2))


def nearby(whitened, grid):
    """Power of the `NEAR` samples up to `AFTER` each merger: (3, ticks, batch, 1)."""
    first = grid.begin + grid.length - NEAR
    x = whitened[:, first : first + NEAR + (grid.ticks - 1) * grid.tick]
    return recent(x, grid.tick)


def recent(x, tick):
    """Power of each `NEAR` samples of whitened strain (batch, samples, detectors).

    Returns:
        (detectors, times, batch, 1), every `tick` samples.
    """
    x = ops.square(ops.cast(x, "float32"))
    power = NEAR * ops.average_pool(x, NEAR, tick, "valid", "channels_last")
    return ops.transpose(power, (2, 1, 0))[..., None]


def consistency(power, span, near, share, rank):
    """The factor on SNRs for their consistency with signals.

    What a signal leaves in a window beside its own template is noise; a glitch leaves
    more. Two chi-squared tests look for it: in the span of all templates, and in the
    samples just before the merger, for glitches that no template comes near. Each
    makes an SNR rho / [(1 + r^6) / 2]^(1 / 12), where r - 1 is what the reduced
    chi-squared has above the noise's spread.

    Args:
        power: squared SNRs, (ticks, batch, count).
        span: power of all `components`, (ticks, batch, 1).
        near: from `nearby`, (ticks, batch, 1).
        share: (count,), share of each template's power that lies in these samples.
        rank: number of components.

    Returns:
        (ticks, batch, count), 0 to 1.

    Source:
        Harry & Fairhurst, Phys. Rev. D 83, 084002 (2011), for a chi-squared of other
        templates; Usman et al., Class. Quantum Grav. 33, 215004 (2016), for the form.
    """
    # An SNR has two quadratures, of which the strain holds half of the power.
    excess = (
        (span - power / 2) / (rank - 1) - SPAN_FROM,
        (near - share * power) / (NEAR * LEVEL - 2 * share) - NEAR_FROM,
    )
    falls = [ops.logaddexp(0.0, STEEP * ops.log1p(ops.maximum(x, 0.0))) for x in excess]
    return ops.exp((2 * math.log(2) - falls[0] - falls[1]) / (2 * STEEP))


def _reach(whitened, grid):
    """Samples that the SNRs are computed from, in blocks: (batch, 3, blocks, FOLD)."""
    samples = grid.span + grid.length
    first, stop = grid.begin, grid.begin + samples
    x = ops.transpose(whitened, (0, 2, 1))[..., max(first, 0) : stop]
    short = max(-first, 0), max(stop - WHITENED_SAMPLES, 0)
    x = ops.pad(x, [(0, 0), (0, 0), short])
    return ops.reshape(x, (-1, len(DETECTORS), samples // FOLD, FOLD))


def _scale(templates, grid):
    """One over the share of each template's norm that lies in the window.

    Args:
        templates: complex (count, length), of norm sqrt(2).
        grid: a `Grid`.

    Returns:
        float32 (ticks, 1, count).
    """
    weight = np.zeros(grid.length + grid.span)
    inside = fade(WHITENED_SAMPLES)[max(grid.begin, 0) :, 0] ** 2
    inside = inside[: len(weight) - max(-grid.begin, 0)]
    weight[max(-grid.begin, 0) :][: len(inside)] = inside
    power = np.abs(templates) ** 2 / 2
    starts = np.arange(grid.ticks) * grid.tick
    held = sliding_window_view(weight, grid.length)[starts] @ power.T
    return (np.maximum(held, 1e-3) ** -0.5).astype(np.float32)[:, None]


def _real(mix):
    """`mix` as real matrices for the real and the imaginary part, (2, 2 rank, count).

    They give the conjugate of z, with the same modulus.
    """
    real, imaginary = mix.real.T, mix.imag.T
    return np.stack(
        [np.concatenate([real, -imaginary]), np.concatenate([imaginary, real])]
    )


@keras.saving.register_keras_serializable("gwres")
class Templates(Fitted):
    """Complex SNR of each detector with every template over time.

    With `Grid.consistent` it is times `consistency`, and what it was stands beside it.

    Nothing here is learned: the templates are physics, and without gradients through
    them training takes half the time.

    Where the grid begins so early that templates reach out of the window, SNRs are
    scaled to unit variance.

    Args:
        grid: a `Grid`, or a dict of its fields.
        kwargs: arguments of `Fitted`.

    Raises:
        ValueError: called before `fit`.

    Source:
        Wang et al., Phys. Rev. D 101, 104003 (2020): matched filters as first layer.
    """

    def __init__(self, grid=FINE, **kwargs):
        super().__init__(**kwargs)
        self.grid = Grid(**grid) if isinstance(grid, dict) else grid

    def build(self, shape):
        """Make the weights."""
        curves, parts = len(CURVES), 2 * self.grid.rank
        self.unset(
            basis=(curves, self.grid.length, parts),
            mix=(curves, 2, parts, self.grid.count),
        )
        if self.grid.begin < 0:
            self.unset(scale=(curves, self.grid.ticks, 1, self.grid.count))
        if self.grid.consistent:
            self.unset(share=(curves, self.grid.count))

    def fit(self, designed):
        """Set the weights from a `Design`."""
        basis = np.swapaxes(designed.basis, 1, 2)
        values = {
            "basis": np.concatenate([basis.real, basis.imag], axis=-1),
            "mix": np.stack([_real(mix) for mix in designed.mix]),
        }
        made = designed.mix @ designed.basis
        if self.grid.begin < 0:
            values["scale"] = np.stack([_scale(each, self.grid) for each in made])
        if self.grid.consistent:
            values["share"] = (np.abs(made[..., -NEAR:]) ** 2).sum(axis=-1) / 2
        self.set((None, WHITENED_SAMPLES, len(DETECTORS)), **values)

    def call(self, whitened):
        """Whitened windows (batch, 2048, 3) to the SNRs of H1, L1 and V1.

        Returns:
            For each detector real and imaginary part, (ticks, batch, count) each, of
            unit variance in noise; with `Grid.consistent` re-weighted, and the squared
            SNR before. Time comes first: slices of the first axis need no copy.
        """
        self.demand("design: call fit")
        grid, found = self.grid, []
        x = _reach(whitened, grid)
        near = nearby(whitened, grid) if grid.consistent else (None,) * len(DETECTORS)
        for place, curve in enumerate(CURVE):
            parts = self.snr(x[:, place], near[place], curve)
            if grid.begin < 0:
                scale = self.scale[curve]
                factors = scale, scale, ops.square(scale)
                parts = [
                    part * ops.cast(factor, part.dtype)
                    for part, factor in zip(parts, factors)
                ]
            found.append(tuple(parts))
        return tuple(found)

    def snr(self, x, near, curve, kernel=None):
        """SNRs of one detector, however long its strain is.

        Args:
            x: whitened samples in blocks, (batch, blocks, FOLD): those that the SNRs
                are of, and a template's length more.
            near: the detector's part of `nearby`, with `Grid.consistent`.
            curve: one of `CURVES`, by its place.
            kernel: the curve's `kernels`, where they are made once for many calls.

        Returns:
            As `call` gives them, without what scales them at a window's start.
        """
        if kernel is None:
            kernel = kernels(self.basis[curve], self.grid.tick)
        y = components(x, kernel)
        parts = [ops.matmul(y, self.mix[curve][part]) for part in (0, 1)]
        if not self.grid.consistent:
            return parts
        # In half precision too much is lost between two large powers.
        power = sum(ops.square(ops.cast(part, "float32")) for part in parts)
        span = ops.sum(ops.square(ops.cast(y, "float32")), axis=-1, keepdims=True)
        share = ops.cast(self.share[curve], "float32")
        left = consistency(power, span, near, share, self.grid.rank)
        left, power = (ops.cast(x, parts[0].dtype) for x in (left, power))
        return [*(part * left for part in parts), power]

    def compute_output_shape(self, shape):
        """(ticks, batch, count), for each part of each detector."""
        part = self.grid.ticks, shape[0], self.grid.count
        return tuple((part,) * (3 if self.grid.consistent else 2) for _ in DETECTORS)

    def get_config(self):
        """The arguments that make the layer again."""
        return super().get_config() | {"grid": asdict(self.grid)}


COUPLED = COARSE.coupled
# Each quadrature of an SNR is clipped to this, so that one loud signal does not drown
# all others in the network's first layers.
CLIP = 5.0


def products(snr, delays=COUPLED):
    """What the evidence of one time and template is a sum of, for each of them.

    Squared SNRs, |z|^2 / 2 - 1, of the three detectors, and the real part of z_H1
    conj(z_L1) / sqrt(2) at each delay: of zero mean and unit variance in noise.

    Args:
        snr: real and imaginary part, (ticks, batch, count) each, of each detector, from
            `Templates`.
        delays: of L1 after H1, in ticks.

    Returns:
        (ticks, batch, 8 count) for five delays.
    """
    snr = [[ops.clip(part, -CLIP, CLIP) for part in parts[:2]] for parts in snr]
    found = [(ops.square(real) + ops.square(part)) / 2 - 1 for real, part in snr]
    (real, imaginary), late, _ = snr
    ticks, most = real.shape[0], max(map(abs, delays))
    late = [ops.pad(part, [(most, most), (0, 0), (0, 0)]) for part in late]
    for delay in delays:
        here = slice(most + delay, most + delay + ticks)
        found.append((real * late[0][here] + imaginary * late[1][here]) * 0.5**0.5)
    return ops.concatenate(found, axis=-1)


@keras.saving.register_keras_serializable("gwres")
class Products(keras.layers.Layer):
    """`products` of the SNRs of `Templates`.

    Args:
        delays: of L1 after H1, in ticks.
        kwargs: arguments of Keras's Layer.
    """

    def __init__(self, delays=COUPLED, **kwargs):
        super().__init__(**kwargs)
        self.delays = tuple(delays)

    def call(self, snr):
        """To (ticks, batch, 8 count) for five delays."""
        return products(snr, self.delays)

    def compute_output_shape(self, shape):
        """(ticks, batch, 8 count) for five delays."""
        ticks, batch, count = shape[0][0]
        return ticks, batch, (len(DETECTORS) + len(self.delays)) * count

    def get_config(self):
        """The arguments that make the layer again."""
        return super().get_config() | {"delays": list(self.delays)}
