"""What the fitted front ends are made with."""

from dataclasses import dataclass

from gwres.layers.evidence import Prior
from gwres.layers.templates import Design


@dataclass(frozen=True)
class Filters:
    """All that a front end is fitted with.

    Args:
        design: a `templates.Design` of the grid `FINE`, for `templates`.
        prior: an `evidence.Prior` of these.
        coarse: a `Design` of the grid `COARSE`, for `waveform`.
    """

    design: Design
    prior: Prior
    coarse: Design
