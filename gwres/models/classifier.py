"""Raw strain to logit: whitening, a front end and a residual network in one model."""

import keras
from keras import ops

from gwres.errors import among
from gwres.layers.spectrogram import Spectrogram
from gwres.layers.whiten import Whiten
from gwres.models.resnet import stem, trunk
from gwres.strain import DETECTORS, SHAPE, WHITENED_SAMPLES

FOLD = 8  # samples of the waveform that the stem takes as channels of one step
FRONTENDS = ("waveform", "spectrogram")


def network(config, frontend):
    """Whitened strain to logit.

    Args:
        config: a `ResNet`.
        frontend: "waveform", a 1-D network on folded samples, or "spectrogram", a 2-D
            network on constant-Q power computed in the graph.

    Returns:
        keras.Model of (batch, 2048, 3) to (batch, 1).
    """
    among("frontend", frontend, FRONTENDS)
    whitened = keras.Input((WHITENED_SAMPLES, len(DETECTORS)), name="whitened")
    if frontend == "waveform":
        x = ops.transpose(whitened, (0, 2, 1))
        x = ops.reshape(x, (-1, len(DETECTORS), WHITENED_SAMPLES // FOLD, FOLD))
        x = [x[:, i] for i in range(len(DETECTORS))]
        features, dimensions = stem(x, config, 1), 1
    else:
        x = Spectrogram()(whitened)
        x = [x[..., i : i + 1] for i in range(len(DETECTORS))]
        features, dimensions = stem(x, config, 2, strides=2), 2
    logit = trunk(features, config, dimensions)
    return keras.Model(whitened, logit, name=f"resnet{config.depth}_{frontend}")


def classifier(network, asd):
    """Put whitening before a network.

    Args:
        network: whitened strain to logit, as `network` makes it.
        asd: as `whiten.fit_asd` gives it.

    Returns:
        keras.Model of strain (batch, 3, 4096) to logit (batch, 1).
    """
    whitening = Whiten(name="whiten")
    whitening.fit(asd)
    strain = keras.Input(SHAPE, name="strain", dtype="float32")
    return keras.Model(strain, network(whitening(strain)), name=network.name)
