"""Residual networks of every depth, for waveforms (1-D) and spectrograms (2-D)."""

from dataclasses import dataclass

import keras
from keras import layers, ops

from gwres.errors import InputError, among, within

# Depth -> (block, blocks per stage). Depth = 2 + convolutions per block x blocks: the
# stem, the blocks and the head count; projections on the shortcut do not.
# Source: He et al., arXiv:1512.03385, table 1; 16 is 18 less one block.
DEPTHS = {
    16: ("basic", (2, 2, 2, 1)),
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}
CONVOLUTIONS = {"basic": 2, "bottleneck": 3}
EXPANSION = {"basic": 1, "bottleneck": 4}
NORMS = ("none", "batch", "group")
GROUPS = 4  # groups of channels in group normalisation
# Length of a bottleneck's middle kernel, in steps, for 1-D and for 2-D networks. Its
# other two kernels are one step long. In an image, three steps reach eight neighbours;
# in a waveform they reach two, too few to learn from.
MIDDLE = {1: 9, 2: 3}
STEP = 0.2  # standard deviation that an untrained, unnormalised block adds


@dataclass(frozen=True)
class ResNet:
    """Settings of a residual network.

    Args:
        depth: a key of `DEPTHS`.
        width: channels of the first stage, doubled from stage to stage; 0 lets the
            block and the front end decide.
        norm: normalisation: "batch", "group", or "none", where the initial weights and
            the scale of each block keep the variance near 1.
        kernel: length of the stem's kernel, in steps of the map or pixels.
        dropout: dropout rate before the head, 0 to 0.95.
    """

    depth: int = 34
    width: int = 0
    norm: str = "none"
    kernel: int = 7
    dropout: float = 0.0

    def __post_init__(self):
        among("depth", self.depth, DEPTHS)
        among("norm", self.norm, NORMS)
        within("width", self.width, 0, 1024)
        if self.norm == "group" and self.width % GROUPS:
            raise InputError(
                f"width must be a multiple of {GROUPS} with norm=group; received "
                f"{self.width}"
            )
        within("kernel", self.kernel, 1, 255)
        within("dropout", self.dropout, 0.0, 0.95)


@keras.saving.register_keras_serializable("gwres")
class Scale(layers.Layer):
    """Multiply by one learned number."""

    def __init__(self, initial=1.0, **kwargs):
        super().__init__(**kwargs)
        self.initial = initial

    def build(self, shape):
        """Make the weight."""
        start = keras.initializers.Constant(self.initial)
        self.factor = self.add_weight(name="factor", shape=(), initializer=start)

    def call(self, x):
        """Any shape to the same shape."""
        return x * ops.cast(self.factor, x.dtype)

    def get_config(self):
        """The arguments that make the layer again."""
        return super().get_config() | {"initial": self.initial}


class _Parts:
    """Makes the layers of one network: all 1-D or all 2-D, with one normalisation.

    Both are chosen here once, so that stems and blocks are written once for all.
    """

    def __init__(self, norm, dimensions):
        self.norm = norm
        self.kind = (layers.Conv1D, layers.Conv2D)[dimensions - 1]
        self.middle = MIDDLE[dimensions]

    def conv(self, filters, kernel, strides=1, initial="he_normal"):
        return self.kind(
            filters,
            kernel,
            strides=strides,
            padding="same",
            use_bias=self.norm == "none",
            kernel_initializer=initial,
        )

    def first(self, config, strides):
        # LeCun's weights, not He's: no ReLU has halved the power of the input.
        return self.conv(config.width, config.kernel, strides, "lecun_normal")

    def normalise(self, x):
        if self.norm == "batch":
            return layers.BatchNormalization(momentum=0.98)(x)
        if self.norm == "group":
            return layers.GroupNormalization(GROUPS)(x)
        return x

    def relu(self, x, name=None):
        return layers.Activation("relu", name=name)(self.normalise(x))

    def block(self, x, variance, filters, stride, block):
        """One residual block in pre-activation order.

        Without normalisation the variance along the trunk is known before training: the
        input is white noise of unit variance, He's initial weights keep the variance of
        a branch, and each block adds STEP^2. So each branch first divides by the
        trunk's standard deviation. Returns the output and its variance.

        Source: He et al., arXiv:1603.05027; De & Smith, arXiv:2002.10444 (the learned
        scale); Brock et al., arXiv:2101.08692 (the division).
        """
        out = filters * EXPANSION[block]
        first = self.relu(x * float(variance**-0.5) if self.norm == "none" else x)
        projected = stride > 1 or x.shape[-1] != out
        shortcut = self.conv(out, 1, stride)(first) if projected else x
        if block == "basic":
            y = self.conv(out, 3, stride)(first)
            y = self.conv(out, 3)(self.relu(y))
        else:
            y = self.conv(filters, 1)(first)
            y = self.conv(filters, self.middle, stride)(self.relu(y))
            y = self.conv(out, 1)(self.relu(y))
        if self.norm == "none":
            y = Scale(STEP)(y)
        shortcut_variance = 1.0 if projected else variance
        return layers.Add()([shortcut, y]), shortcut_variance + STEP**2


def trunk(x, config, dimensions, beside=None):
    """Stages of blocks, pooling and head: features to one logit.

    Args:
        x: (batch, *space, channels) with `dimensions` axes of space.
        config: a `ResNet` with a width.
        dimensions: 1 or 2.
        beside: (batch, n), inputs of the head beside the pooled features, or None.

    Returns:
        (batch, 1), the logit, float32.
    """
    block, stages = DEPTHS[config.depth]
    parts = _Parts(config.norm, dimensions)
    variance = 1.0
    for stage, blocks in enumerate(stages):
        for index in range(blocks):
            stride = 2 if stage and not index else 1
            filters = config.width * 2**stage
            x, variance = parts.block(x, variance, filters, stride, block)
    x = parts.relu(x, name="features")
    axes = tuple(range(1, dimensions + 1))
    x = layers.Concatenate()([ops.mean(x, axes), ops.max(x, axes)])
    if config.dropout:
        x = layers.Dropout(config.dropout)(x)
    if beside is not None:
        x = layers.Concatenate(dtype="float32")([x, beside])
    return layers.Dense(1, dtype="float32", kernel_initializer="zeros", name="logit")(x)


def stem(detectors, config, dimensions, strides=1):
    """A first layer for each detector, then one for all three.

    H1 and L1 share weights, because they share a noise curve; V1 has its own.

    Args:
        detectors: three tensors (batch, *space, channels), H1, L1, V1.
        config: a `ResNet` with a width.
        dimensions: 1 or 2.
        strides: strides of the first layers.

    Returns:
        (batch, *space, width).
    """
    parts = _Parts(config.norm, dimensions)
    ligo, virgo = (parts.first(config, strides) for _ in range(2))
    hanford, livingston, virgo_strain = detectors
    x = layers.Concatenate()([ligo(hanford), ligo(livingston), virgo(virgo_strain)])
    return parts.conv(config.width, 1)(parts.relu(x))


def merged(x, config, dimensions, strides=1):
    """The stem for one tensor `x` that holds all detectors; otherwise as `stem`."""
    parts = _Parts(config.norm, dimensions)
    return parts.conv(config.width, 1)(parts.relu(parts.first(config, strides)(x)))


def odds(x, config, dimensions):
    """Inputs of the head from features that add up as odds do.

    A signal may come at any time: its odds are a sum over times, of which neither a
    mean nor a maximum of features is a good part.

    Args:
        x: features, (batch, *space, channels).
        config: a `ResNet` with a width.
        dimensions: number of axes of space, 1 or 2.

    Returns:
        (batch, width), float32: a quarter of the log of each channel's sum.
    """
    each = _Parts(config.norm, dimensions).relu(x)
    each = layers.Dense(config.width, dtype="float32")(each)
    return ops.logsumexp(each, axis=tuple(range(1, dimensions + 1))) / 4
