"""What the fitted front ends are made with."""

from dataclasses import dataclass

from gwres.layers.evidence import Noise, Prior
from gwres.layers.templates import Design


@dataclass(frozen=True)
class Filters:
    """All that front ends, and what teaches them, are fitted with.

    Args:
        design: a `templates.Design`, for `templates`.
        prior: an `evidence.Prior` of these.
        coarse: a `Design` of fewer templates, for `waveform`.
        coarse_prior: a `Prior` of these, for `training.teacher`.
        noise: the `evidence.Noise` of `design` and `prior`.
    """

    design: Design
    prior: Prior
    coarse: Design
    coarse_prior: Prior
    noise: Noise
