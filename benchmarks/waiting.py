"""The share of training that waits for data, and how fast live injection makes it.

A real fit of a few hundred steps, whose step is split in two: taking a batch from the
pipeline, which blocks where none is ready, and training on it. Beside it the pipeline
alone, which then has both cores.

    python -m benchmarks.waiting [depths, such as 18,34] [windows to train on] [noise]
"""

import sys
import tempfile
import time

import tensorflow as tf

from benchmarks.throughput import injection
from gwres.data.corpus import open_corpus
from gwres.data.settings import GAUSSIAN
from gwres.training import fit as fitting
from gwres.training.recipe import Recipe

WARM = 20  # steps not counted: the first ones trace the graph and fill the buffers


class Clock:
    """A train function of Keras that knows what it waits for."""

    def __init__(self, model):
        strategy = model.distribute_strategy

        @tf.function(autograph=False)
        def step(data):
            return strategy.run(model.train_step, args=(data,))

        self.step, self.steps = step, 0
        self.waited = self.trained = 0.0

    def __call__(self, iterator):
        """One step, as Keras calls it."""
        start = time.perf_counter()
        batch = next(iterator)
        middle = time.perf_counter()
        logs = self.step(batch)
        end = time.perf_counter()
        self.steps += 1
        if self.steps > WARM:
            self.waited += middle - start
            self.trained += end - middle
        return logs


def fit(recipe, opened):
    """A fit with a clock.

    Returns:
        `Clock`.
    """
    clocks, compiled = [], fitting._compiled

    def timed(*arguments):
        model = compiled(*arguments)
        clocks.append(Clock(model))
        model.train_function = clocks[0]
        return model

    fitting._compiled = timed
    try:
        with tempfile.TemporaryDirectory() as folder:
            fitting.fit(recipe, opened, folder)
    finally:
        fitting._compiled = compiled
    return clocks[0]


def main(depths, samples, noise):
    """Measure and print."""
    _, alone = injection(10.0, noise)
    print(f"live injection alone: {alone:,.0f} windows per second")
    print(f"{'network':<20}{'windows/s':>10}{'waiting':>10}{'injection is':>14}")
    for depth in depths:
        settings = {"depth": depth, "samples": samples, "epochs": 1, "noise": noise}
        recipe = Recipe().vary(settings)
        clock = fit(recipe, open_corpus(recipe.data))
        total = clock.waited + clock.trained
        rate = (clock.steps - WARM) * recipe.live.batch / total
        share, faster = f"{clock.waited / total:.1%}", f"{alone / rate:.1f}x"
        print(f"{recipe.name:<20}{rate:>10,.0f}{share:>10}{faster:>14}", flush=True)


if __name__ == "__main__":
    given = sys.argv[1:]
    chosen, samples, noise = [*given, *("18,34", "25600", GAUSSIAN)[len(given) :]]
    main([int(depth) for depth in chosen.split(",")], int(samples), noise)
