"""Raw strain to logit: whitening, a front end and a residual network in one model."""

import keras
from keras import layers, ops

from gwres.errors import InputError, among
from gwres.layers.evidence import Evidence, Image
from gwres.layers.spectrogram import Spectrogram
from gwres.layers.templates import COARSE, FINE, Products, Templates
from gwres.layers.whiten import Whiten
from gwres.models.resnet import merged, odds, stem, trunk
from gwres.strain import ASD_SHAPE, DETECTORS, SHAPE, WHITENED_SAMPLES

FEATURES = 64  # channels that the products of a time become
FRONTENDS = ("templates", "waveform", "spectrogram")
# Channels of the first stage. A bottleneck's output is four times as wide, and an
# image costs more than four times as much as a waveform.
WIDTHS = {
    "templates": {"basic": 8, "bottleneck": 4},
    "waveform": {"basic": 24, "bottleneck": 12},
    "spectrogram": {"basic": 8, "bottleneck": 4},
}


def network(config, frontend, filters=None):
    """Build a network from whitened strain to one logit.

    Args:
        config: a `ResNet` with a width, which `Recipe.sized` gives it.
        frontend: "templates", a 2-D network on a map of SNR and evidence over time
            and mass; "waveform", a 1-D network whose first kernels are chirps; or
            "spectrogram", a 2-D network on constant-Q amplitudes. All are computed in
            the graph.
        filters: a `design.Filters` for the front ends `templates` and `waveform`;
            without them, grids are those of `g2net` and weights must be loaded.

    Returns:
        keras.Model of (batch, 2048, 3) to (batch, 1).
    """
    among("frontend", frontend, FRONTENDS)
    if not config.width:
        raise InputError("width must be above 0 here: `Recipe.sized` sets it")
    whitened = keras.Input((WHITENED_SAMPLES, len(DETECTORS)), name="whitened")
    build = {
        "templates": _templates,
        "waveform": _waveform,
        "spectrogram": _spectrogram,
    }
    logit = build[frontend](whitened, config, filters)
    return keras.Model(whitened, logit, name=f"resnet{config.depth}_{frontend}")


def _templates(whitened, config, filters):
    grid = FINE if filters is None else filters.design.grid
    templates = Templates(grid, fitted=True, name="templates")
    evidence = Evidence(grid.tick, grid.pool, fitted=True, name="evidence")
    image = Image(fitted=True, name="image")
    if filters is not None:
        templates.fit(filters.design)
        evidence.fit(filters.prior)
        image.fit(filters.noise)
    cells, x = image(evidence(templates(whitened)))
    bayes = ops.logsumexp(cells, axis=(1, 2))[:, None]
    beside = ops.clip(bayes / 4, -2.0, 4.0)
    # The logit starts as the log Bayes factor, and the network learns to correct it.
    return trunk(merged(x, config, 2, strides=2), config, 2, beside) + bayes


def _waveform(whitened, config, filters):
    grid = COARSE if filters is None else filters.coarse.grid
    chirps = Templates(grid, fitted=True, name="chirps")
    if filters is not None:
        chirps.fit(filters.coarse)
    x = Products(grid.coupled)(chirps(whitened))
    # Which products make a coincidence, of which templates, is learned here.
    x = layers.Dense(FEATURES, kernel_initializer="lecun_normal")(x)
    x = ops.transpose(layers.Activation("relu")(x), (1, 0, 2))
    # SNRs 2 ms apart are finer than what is left to tell: steps of 8 ms will do.
    x = merged(x, config, 1, strides=8 // grid.tick)
    return trunk(x, config, 1, odds(x, config, 1))


def _spectrogram(whitened, config, filters):
    x = Spectrogram()(whitened)
    x = [x[..., i : i + 1] for i in range(len(DETECTORS))]
    return trunk(stem(x, config, 2, strides=2), config, 2)


def classifier(network, asd):
    """Put whitening before a network.

    Args:
        network: keras.Model from whitened strain to logit, as `network` makes it.
        asd: as `whiten.fit_asd` gives it.

    Returns:
        keras.Model of strain (batch, 3, 4096) to logit (batch, 1).
    """
    whitening = Whiten(name="whiten")
    whitening.fit(asd)
    strain = keras.Input(SHAPE, name="strain", dtype="float32")
    return keras.Model(strain, network(whitening(strain)), name=network.name)


def informed(model):
    """The same classifier for callers who know the ASD of each window.

    Args:
        model: as `classifier` makes it; the weights are shared.

    Returns:
        keras.Model of [strain (batch, 3, 4096), ASD (batch, 3, 513) as
        `whiten.refined` takes it] to logit (batch, 1).
    """
    strain = keras.Input(SHAPE, name="strain", dtype="float32")
    asd = keras.Input(ASD_SHAPE, name="asd", dtype="float32")
    whitening, network = model.get_layer("whiten"), model.layers[-1]
    logit = network(whitening(strain, asd=asd))
    return keras.Model([strain, asd], logit, name=model.name)
