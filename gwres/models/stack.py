"""Several classifiers as one: a weighted sum of their logits."""

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
        kind: "average", "nonnegative" or "logistic"; see `stacker.KINDS`.
        weights: weight of each member's logit, in the members' order.
        intercept: added to the sum.
        pull: how strongly the fit pulled the weights towards equal ones, from 0.
    """

    kind: str
    weights: tuple[float, ...]
    intercept: float
    pull: float

    def __call__(self, logits):
        """Sum the members' logits.

        Args:
            logits: (n, members).

        Returns:
            (n,) float64.

        Raises:
            InputError: the number of columns is not that of the weights.
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
        numbers = json.loads(Path(path).read_text())
        return cls(**numbers | {"weights": tuple(numbers["weights"])})


# The stack of a single classifier: its logit, unchanged.
SINGLE = Stack("average", (1.0,), 0.0, 0.0)


def joined(classifiers, whitened=False):
    """Make one function of several classifiers that computes nothing twice.

    Classifiers share whitening, templates and evidence where their weights are equal.

    Args:
        classifiers: keras.Models as `classifier.classifier` makes them.
        whitened: whether the function takes windows that are whitened already.

    Returns:
        Function of strain (batch, 3, 4096), and of each window's ASD where it is
        known, to logits (batch, members); see `classifier.informed`. Or of whitened
        windows (batch, 2048, 3).
    """
    parts, chains = [], []
    for model in classifiers:
        before, front, trunk = None, *split(model.layers[-1])
        whitening = None if whitened else model.get_layer("whiten")
        for part in filter(None, (whitening, front)):
            before = _place(parts, part, before)
        chains.append((before, trunk))

    def logits(windows, **known):
        outputs = []
        for part, before in parts:
            # Only whitening knows what to do with an ASD, and nothing is before it.
            made = part(windows, **known) if before is None else part(outputs[before])
            outputs.append(made)
        members = [
            trunk(windows if last is None else outputs[last], training=False)
            for last, trunk in chains
        ]
        return ops.concatenate(members, axis=1)

    def of_strain(strain, asd=None):
        return logits(strain, asd=asd)

    return logits if whitened else of_strain


def split(network):
    """Split a network into what is fitted to PSD and population, and what is learned.

    Args:
        network: keras.Model, as `classifier.network` makes it.

    Returns:
        (keras.Model of whitened windows to SNRs or images of evidence, or None where
        nothing is fitted; keras.Model of its output to the logit).
    """
    fitted = [layer for layer in network.layers if isinstance(layer, Fitted)]
    if not fitted:
        return None, network
    middle = fitted[-1].output
    return keras.Model(network.input, middle), keras.Model(middle, network.output)


def beyond_templates(network):
    """Split a network into its templates and what follows, for strain of any length.

    Args:
        network: keras.Model, as `classifier.network` makes it.

    Returns:
        (the layer `Templates`, keras.Model of its SNRs, as a flat list, to the logit),
        or None where the network does not begin with SNRs of all mergers in a window.
    """
    names = [layer.name for layer in network.layers]
    if "templates" not in names:
        return None
    layer = network.get_layer("templates")
    return layer, keras.Model(layer.output, network.output)


def _place(parts, part, before):
    """Index of (part, index of its input) in `parts`; appended if it is new."""
    weights = part.get_weights()
    for place, (other, earlier) in enumerate(parts):
        others = other.get_weights()
        same = earlier == before and len(others) == len(weights)
        if same and all(map(np.array_equal, others, weights)):
            return place
    parts.append((part, before))
    return len(parts) - 1
