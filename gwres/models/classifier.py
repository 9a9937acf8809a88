"""Raw strain to logit: whitening, a front end and a residual network in one model."""

from dataclasses import replace

import keras
from keras import ops

from gwres.errors import among
from gwres.layers.spectrogram import Spectrogram
from gwres.layers.templates import Templates
from gwres.layers.whiten import Whiten
from gwres.models.resnet import DEPTHS, merged, stem, trunk
from gwres.strain import DETECTORS, SHAPE, WHITENED_SAMPLES

FOLD = 8  # samples of the waveform that the stem takes as channels of one step
FRONTENDS = ("templates", "waveform", "spectrogram")
# Of the first stage: a bottleneck's output is four times as wide, an image's cost
# more than four times a waveform's.
WIDTHS = {
    "templates": {"basic": 8, "bottleneck": 4},
    "waveform": {"basic": 16, "bottleneck": 8},
    "spectrogram": {"basic": 8, "bottleneck": 4},
}


def sized(config, frontend):
    """The `ResNet` with the width that suits it, if it has none of its own."""
    among("frontend", frontend, FRONTENDS)
    block, _ = DEPTHS[config.depth]
    return replace(config, width=config.width or WIDTHS[frontend][block])


def network(config, frontend, design=None):
    """Whitened strain to logit.

    Args:
        config: a `ResNet`.
        frontend: "templates", a 2-D network on a map of SNR over time and mass;
            "waveform", a 1-D network on folded samples; or "spectrogram", a 2-D
            network on constant-Q amplitudes. All are computed in the graph.
        design: a `templates.Design` for the front end of that name; without it, the
            weights have to be loaded.

    Returns:
        keras.Model of (batch, 2048, 3) to (batch, 1).
    """
    config = sized(config, frontend)
    whitened = keras.Input((WHITENED_SAMPLES, len(DETECTORS)), name="whitened")
    build = {
        "templates": _templates,
        "waveform": _waveform,
        "spectrogram": _spectrogram,
    }
    logit = build[frontend](whitened, config, design)
    return keras.Model(whitened, logit, name=f"resnet{config.depth}_{frontend}")


def _templates(whitened, config, design):
    layer = Templates(fitted=True, name="templates")
    if design is not None:
        layer.fit(design)
    image = layer(whitened)
    # The matched filter's own statistic goes to the head: the network adds to it.
    evidence = ops.logsumexp(ops.cast(image[..., -1], "float32"), axis=(1, 2))
    x = merged(image, config, 2, strides=2)
    return trunk(x, config, 2, ops.expand_dims(evidence, 1))


def _waveform(whitened, config, design):
    x = ops.transpose(whitened, (0, 2, 1))
    x = ops.reshape(x, (-1, len(DETECTORS), WHITENED_SAMPLES // FOLD, FOLD))
    x = [x[:, i] for i in range(len(DETECTORS))]
    return trunk(stem(x, config, 1), config, 1)


def _spectrogram(whitened, config, design):
    x = Spectrogram()(whitened)
    x = [x[..., i : i + 1] for i in range(len(DETECTORS))]
    return trunk(stem(x, config, 2, strides=2), config, 2)


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
