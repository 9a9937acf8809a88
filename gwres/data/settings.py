"""Settings of the data and of the batches: what a training is told, and nothing more.

They import neither TensorFlow nor bilby, so that a training elsewhere can be told them.
"""

import math
from dataclasses import dataclass

import numpy as np

from gwres.errors import InputError, among, within
from gwres.simulate.population import population

SIMULATED = "simulated"
NOISES = GAUSSIAN, DETECTOR = "gaussian", "detector"


@dataclass(frozen=True)
class Data:
    """Settings of the data.

    Args:
        source: "simulated", or the path of a G2Net folder.
        population: name of the population of simulated signals.
        noise: of simulated windows: "gaussian", or "detector", as real ones have it.
        bank: number of waveforms in the bank.
        judged: number of simulated windows in each of validation, stack, gate, holdout.
        psd_windows: largest number of noise windows to fit the PSD on.
        strict: whether labels and files of a folder must match.
    """

    source: str = SIMULATED
    population: str = "g2net"
    noise: str = GAUSSIAN
    bank: int = 16384
    judged: int = 4000
    psd_windows: int = 2000
    strict: bool = True

    def __post_init__(self):
        population(self.population)
        among("noise", self.noise, NOISES)
        if self.source != SIMULATED and self.noise != GAUSSIAN:
            raise InputError(
                f"noise is that of simulated data; received {self.noise} with data="
                f"{self.source}"
            )
        within("bank", self.bank, 1, 10**6)
        within("judged", self.judged, 1, 10**6)
        within("psd_windows", self.psd_windows, 1, 10**6)

    @property
    def name(self):
        """Population and noise, as runs and studies name them: g2net-detector."""
        return self.population + suffix(self.noise)


def suffix(noise):
    """What the noise adds to names: nothing where it is Gaussian."""
    return "" if noise == GAUSSIAN else f"-{noise}"


@dataclass(frozen=True)
class Live:
    """Settings of the batches.

    Args:
        batch: windows per batch; with live injection, half are noise, and half the same
            noise with a signal.
        loud: factor on the signals at the start; 0 lets the front end decide.
        ease: share of training over which that factor falls to 1.
        drop: probability that a detector is dropped, for each that has data; those
            that the population lacks are missing beside these.
        glitches: probability that a detector has a glitch, where the noise has them:
            far more often than in nature, so that a network sees them all.
        permute: whether a batch's labels are shuffled. This leaves nothing to learn, so
            a network that still learns reveals a leak.
    """

    batch: int = 128
    loud: float = 0.0
    ease: float = 0.4
    drop: float = 0.05
    glitches: float = 0.25
    permute: bool = False

    def __post_init__(self):
        within("batch", self.batch, 2, 65_536)
        # Besides, TensorFlow 2.21 crashes in float32 on an odd number of windows: its
        # oneDNN writes beyond an array.
        if self.batch % 2:
            raise InputError(
                f"batch must be even, for half of it is noise; received {self.batch}"
            )
        within("loud", self.loud, 0.0, 100.0)
        within("ease", self.ease, 0.0, 1.0)
        within("drop", self.drop, 0.0, 0.95)
        within("glitches", self.glitches, 0.0, 1.0)


def loudness(step, steps, config):
    """The factor on signals at a step, which falls from `loud` to 1.

    Raises:
        InputError: `loud` is 0.
    """
    if not config.loud:
        raise InputError("loud must be above 0 here: `Recipe.sized` sets it")
    if not config.ease:
        return 1.0
    done = min(step / (config.ease * steps), 1.0)
    return config.loud + (1.0 - config.loud) * done


def kept(rng, there, drop):
    """Which of the detectors that have data each window keeps; at least one.

    Args:
        rng: numpy Generator.
        there: which detectors have data, bool (n, 3).
        drop: probability that one of them is dropped.

    Returns:
        float32 (n, 3).
    """
    present = (rng.random(there.shape) >= drop) & there
    none = ~present.any(axis=1)
    present[none] = there[none]
    return present.astype(np.float32)


def eased(epochs, config):
    """The first epoch, from 0, in which no signal is made louder; else the last.

    A network that is judged earlier has learned the odds of louder signals.
    """
    if config.loud == 1:
        return 0
    return min(math.ceil(config.ease * epochs), epochs - 1)
