"""Several classifiers as one: whitened once, their logits joined by plain numbers."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from keras import ops

from gwres.errors import InputError


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


# What a classifier that stands alone answers: its own logit.
ALONE = Stack("average", (1.0,), 0.0, 0.0)


def joined(classifiers):
    """One function for several classifiers that whitens no strain twice.

    Args:
        classifiers: keras.Models as `classifier.classifier` makes them.

    Returns:
        Function of strain (batch, 3, 4096) to logits (batch, members).
    """
    whitenings, members = [], []
    for model in classifiers:
        layer = model.get_layer("whiten")
        asd = np.asarray(layer.asd)
        same = [i for i, w in enumerate(whitenings) if np.array_equal(w.asd, asd)]
        if not same:
            same = [len(whitenings)]
            whitenings.append(layer)
        members.append((same[0], model.layers[-1]))

    def logits(strain):
        whitened = [whitening(strain) for whitening in whitenings]
        each = [network(whitened[i], training=False) for i, network in members]
        return ops.concatenate(each, axis=1)

    return logits
