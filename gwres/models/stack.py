"""Several classifiers as one: measured once, their logits joined by plain numbers."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
from keras import ops

from gwres.errors import InputError
from gwres.layers.fitted import Fitted


@dataclass(frozen=True)
class Stack:
    """A weighted sum of the members' logits.

    Args:
        kind: "average", "nonnegative" or "logistic"; see `ensemble.KINDS`.
        weights: one for each member, in their order.
        intercept: added to the sum.
        pull: how strongly the weights were drawn towards the average's.
    """

    kind: str
    weights: tuple[float, ...]
    intercept: float
    pull: float

    def __call__(self, logits):
        """Join the members' logits.

        Args:
            logits: (n, members).

        Returns:
            (n,) float64.

        Raises:
            InputError: not as many columns as weights.
        """
        logits = np.asarray(logits, dtype=np.float64)
        if logits.ndim != 2 or logits.shape[1] != len(self.weights):
            raise InputError(
                f"expected logits of {len(self.weights)} members; received an array of "
                f"shape {logits.shape}"
            )
        return logits @ np.array(self.weights) + self.intercept

    def write(self, path):
        """Write the numbers as JSON."""
        Path(path).write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, path):
        """Read what `write` wrote."""
        found = json.loads(Path(path).read_text())
        return cls(**found | {"weights": tuple(found["weights"])})


# What a classifier by itself answers: its own logit.
SINGLE = Stack("average", (1.0,), 0.0, 0.0)


def joined(classifiers):
    """One function for several classifiers that measures nothing twice.

    Those whose whitening, or templates and evidence, have the same weights share them.

    Args:
        classifiers: keras.Models as `classifier.classifier` makes them.

    Returns:
        Function of strain (batch, 3, 4096) to logits (batch, members).
    """
    parts, chains = [], []
    for model in classifiers:
        before, front, trunk = None, *_split(model.layers[-1])
        for part in filter(None, (model.get_layer("whiten"), front)):
            before = _place(parts, part, before)
        chains.append((before, trunk))

    def logits(strain):
        known = []
        for part, before in parts:
            known.append(part(strain if before is None else known[before]))
        each = [trunk(known[last], training=False) for last, trunk in chains]
        return ops.concatenate(each, axis=1)

    return logits


def _split(network):
    """A network's measured part, or None, and what is learned."""
    measured = [layer for layer in network.layers if isinstance(layer, Fitted)]
    if not measured:
        return None, network
    known = measured[-1].output
    return keras.Model(network.input, known), keras.Model(known, network.output)


def _place(parts, part, before):
    """Where in a list of (part, place of the one before it) the same stands."""
    weights = part.get_weights()
    for place, (other, earlier) in enumerate(parts):
        found = other.get_weights()
        same = earlier == before and len(found) == len(weights)
        if same and all(map(np.array_equal, found, weights)):
            return place
    parts.append((part, before))
    return len(parts) - 1
