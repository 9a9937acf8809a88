"""Teaches a network what the evidence says of a window, in place of its label.

A label is one bit, and of a faint signal it says what nothing in the window tells. The
coherent evidence says how sure one can be, and at which time and mass: from windows
like that a network learns as much as from several times as many with labels. The
evidence is that of the coarse grid, whose SNRs the front end `waveform` has anyway, so
that it costs little.
"""

import keras
import numpy as np
from keras import layers, ops

from gwres.layers.evidence import Evidence
from gwres.layers.templates import STEP, Templates

# The map is summed to times of `STEP`, 31 ms, and to so many masses.
MASSES = 8
MAP = 0.3  # share of the map in the loss; 0.6 teaches the same


def summed(cells, times):
    """The evidence of a map by coarse cells.

    Args:
        cells: log evidence, (batch, ticks / pool, templates), from `Evidence`.
        times: coarse cells in time.

    Returns:
        (batch, times * MASSES), log evidence.
    """
    _, steps, templates = cells.shape
    shape = -1, times, steps // times, MASSES, templates // MASSES
    cells = ops.logsumexp(ops.reshape(cells, shape), axis=(2, 4))
    return ops.reshape(cells, (-1, times * MASSES))


def loss(logit, guess, cells):
    """How far a network is from the evidence.

    The cross-entropy of its logit with the probability of a signal, and, for the share
    `MAP`, that of its map with the probabilities of all coarse cells and of no signal.
    Half the windows hold a signal, so the evidence is the odds.

    Args:
        logit: (batch, 1), of the network.
        guess: (batch, times * MASSES), the log odds of each cell and no signal.
        cells: (batch, ticks / pool, templates), from `Evidence`.

    Returns:
        Mean over the batch, a number.
    """

    def beside_nothing(odds):
        return ops.pad(odds, [(0, 0), (1, 0)])  # the log odds of no signal are 0

    times = guess.shape[-1] // MASSES
    target = ops.softmax(beside_nothing(summed(cells, times)))
    told = -ops.sum(target * ops.log_softmax(beside_nothing(guess)), axis=-1)
    sure = 1 - target[:, :1]
    # log(1 + exp(logit)) - sure * logit
    whole = ops.softplus(logit) - sure * logit
    return (1 - MAP) * ops.mean(whole) + MAP / 2 * ops.mean(told)


@keras.saving.register_keras_serializable("gwres")
class Lesson(layers.Layer):
    """Hands on the logit, and in training adds `loss` to the model's losses."""

    def call(self, inputs, training=False):
        """(logit, guess, cells), as `loss` takes them, to the logit."""
        if training:
            self.add_loss(loss(*inputs))
        return inputs[0]

    def compute_output_shape(self, shape):
        """That of the logit."""
        return shape[0]


def taught(network, filters):
    """The model that trains a network on the evidence; both share their weights.

    Args:
        network: keras.Model, as `classifier.network` makes it.
        filters: a `Filters`.

    Returns:
        keras.Model with the same input and output. It is compiled without a loss: its
        own does not ask for labels.
    """
    grid = filters.coarse.grid
    size = grid.span // STEP * MASSES
    names = [layer.name for layer in network.layers]
    if "chirps" in names:
        # Keras keeps a layer's output as one flat list.
        flat = network.get_layer("chirps").output
        snr = tuple(zip(flat[::2], flat[1::2]))
    else:
        templates = Templates(grid, fitted=True, name="teacher_templates")
        templates.fit(filters.coarse)
        snr = templates(network.input)
    evidence = Evidence(grid.tick, grid.pool, fitted=True, name="teacher_evidence")
    evidence.fit(filters.coarse_prior)
    cells, _ = evidence(snr)
    features = layers.Flatten(name="flat")(network.get_layer("features").output)
    start = keras.initializers.Constant(-float(np.log(size)))
    guess = layers.Dense(
        size,
        dtype="float32",
        kernel_initializer="zeros",
        bias_initializer=start,
        name="map",
    )(features)
    logit = Lesson(name="lesson", dtype="float32")([network.output, guess, cells])
    return keras.Model(network.input, logit, name=network.name)


def pupil(model):
    """The network that `taught` has trained, or the model itself if there was none."""
    if "lesson" not in [layer.name for layer in model.layers]:
        return model
    logit = model.get_layer("lesson").input[0]
    return keras.Model(model.input, logit, name=model.name)
