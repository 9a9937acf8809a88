"""Windows per core-second of every depth, of live injection, and of a peer.

The peer is the design that gwres replaces: a 2-D bottleneck network, blocks [1, 2, 2,
1] of width 64 with batch normalisation, on images of (64, 129, 3). All are measured in
one run on the same machine, so the ratios hold where the figures do not.

    python -m benchmarks.throughput [seconds per figure]
"""

import sys
import time

import keras
import numpy as np
from keras import layers

from gwres.data.corpus import open_corpus
from gwres.data.settings import GAUSSIAN, NOISES, Data, Live
from gwres.matched.design import filters
from gwres.models.classifier import FRONTENDS, network
from gwres.models.resnet import DEPTHS
from gwres.simulate.population import population
from gwres.training.fit import precision
from gwres.training.recipe import Recipe

BATCH = 64


def peer():
    """The 2-D bottleneck network on images."""

    def conv(x, filters, kernel, stride=1):
        x = layers.Conv2D(filters, kernel, stride, "same", use_bias=False)(x)
        return layers.BatchNormalization()(x)

    images = keras.Input((64, 129, 3))
    x = layers.ReLU()(conv(images, 64, 7, 2))
    x = layers.MaxPooling2D(3, 2, "same")(x)
    for stage, blocks in enumerate((1, 2, 2, 1)):
        for index in range(blocks):
            filters, stride = 64 * 2**stage, 2 if stage and not index else 1
            y = layers.ReLU()(conv(x, filters, 1, stride))
            y = conv(layers.ReLU()(conv(y, filters, 3)), 4 * filters, 1)
            shortcut = x if index else conv(x, 4 * filters, 1, stride)
            x = layers.ReLU()(y + shortcut)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, layers.Dense(1, dtype="float32")(x))


def rate(step, seconds):
    """Windows per core-second and per second of a step on `BATCH` windows."""
    step()
    steps, wall, core = 0, time.monotonic(), time.process_time()
    while time.monotonic() - wall < seconds:
        step()
        steps += 1
    core, wall = time.process_time() - core, time.monotonic() - wall
    return steps * BATCH / core, steps * BATCH / wall


def measure(model, seconds):
    """Rates of training and of inference: core-second, then second, of each."""
    model.compile(
        keras.optimizers.AdamW(1e-3),
        keras.losses.BinaryCrossentropy(from_logits=True),
    )
    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCH, *model.input_shape[1:])).astype(np.float32)
    y = rng.integers(2, size=(BATCH, 1)).astype(np.float32)
    train = rate(lambda: model.train_on_batch(x, y), seconds)
    return train, rate(lambda: model.predict_on_batch(x), seconds)


def injection(seconds, noise=GAUSSIAN):
    """Rate of live injection alone."""
    opened = open_corpus(Data(bank=2048, judged=8, psd_windows=64, noise=noise))
    batches = iter(opened.batches(Live(batch=BATCH, loud=1.0), 0, 10**6))
    return rate(lambda: next(batches), seconds)


def main(seconds):
    """Measure and print the table."""
    policy = precision("auto")
    print(f"batch {BATCH}, {policy}; windows per core-second (and per second)")
    keras.config.set_dtype_policy(policy)
    beside = measure(peer(), seconds)
    print(f"{'network':<24}{'training':>16}{'inference':>16}{'x peer':>8}{'x':>8}")

    def row(name, rates):
        ratios = [ours[0] / theirs[0] for ours, theirs in zip(rates, beside)]
        cells = [f"{core:,.0f} ({wall:,.0f})" for core, wall in rates]
        print(f"{name:<24}{cells[0]:>16}{cells[1]:>16}", end="")
        print(f"{ratios[0]:>8.1f}{ratios[1]:>8.1f}", flush=True)

    row("2-D bottleneck (peer)", beside)
    opened = open_corpus(Data(bank=2048, judged=8, psd_windows=64))
    designed = filters(population("g2net"), opened.asd)
    for frontend in FRONTENDS:
        for depth in DEPTHS:
            recipe = Recipe().vary({"depth": depth, "frontend": frontend}).sized()
            model = network(recipe.model, frontend, designed)
            row(f"resnet{depth}-{frontend}", measure(model, seconds))
    for noise in NOISES:
        core, wall = injection(seconds, noise)
        print(f"{f'live, {noise}':<24}{f'{core:,.0f} ({wall:,.0f})':>16}")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0)
