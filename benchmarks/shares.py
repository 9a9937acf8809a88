"""What it costs to share batches among workers: time, cores and bytes of a step.

All workers are processes of this machine, so that with more of them than cores only the
cost shows, and no gain: the processor time of a step is held against that of a training
in one process, which shares nothing.

    python -m benchmarks.shares 34-templates,34-waveform 1,2,4 [steps]
"""

import pickle
import sys
import time
from functools import partial

import keras
import psutil

from gwres.data.corpus import open_corpus
from gwres.data.settings import Data
from gwres.training import fit, shares
from gwres.training.recipe import Recipe

EPOCHS = 4  # the first one traces, and is left out


class Clock(keras.callbacks.Callback):
    """Time and processor time of each epoch, of this process and those it started.

    Args:
        steps: of an epoch.
    """

    first, epochs, done, core_seconds = 0, EPOCHS, False, 0.0

    def __init__(self, steps):
        super().__init__()
        self.steps, self.marks = steps, []

    def on_epoch_end(self, epoch, logs=None):
        """Read both clocks."""
        here = psutil.Process()
        times = [one.cpu_times() for one in [here, *here.children(recursive=True)]]
        core = sum(one.user + one.system for one in times)
        self.marks.append((time.monotonic(), core))

    def step(self):
        """(ms, core-ms) of a step, the best epoch's: others wait for other programs."""
        epochs = zip(self.marks, self.marks[1:])
        spans = [(b[0] - a[0], b[1] - a[1]) for a, b in epochs]
        return tuple(min(one) / self.steps * 1000 for one in zip(*spans))


def measure(recipe, corpus, workers, steps):
    """(ms, core-ms) of a step, shared by workers, or in one process for None."""
    filters, clock = corpus.filters(), Clock(steps)
    model = fit._compiled(recipe, filters, EPOCHS * steps, None)
    batches = corpus.batches(recipe.live, 0, EPOCHS * steps)
    if workers:
        build = partial(fit._model, recipe, filters, policy(recipe))
        shares.fit(model, build, fit._loss(recipe), workers, batches, clock)
    else:
        model.fit(
            batches,
            epochs=EPOCHS,
            steps_per_epoch=steps,
            shuffle=False,
            verbose=0,
            callbacks=[clock],
        )
    return clock.step()


def policy(recipe):
    """The dtype policy of a recipe's training."""
    return fit.precision(recipe.fit.precision)


def carried(recipe, corpus):
    """MB of a step: weights to a worker, gradients from one, and the whole batch."""
    filters = corpus.filters()
    build = partial(fit._model, recipe, filters, policy(recipe))
    model = fit._compiled(recipe, filters, 1, None)
    ((windows, labels),) = corpus.batches(recipe.live, 0, 1)
    windows, labels = windows.numpy(), labels.numpy()
    common = shares.state(model)
    share = shares.worker(build, fit._loss(recipe), len(windows))
    back = share(common, (0, windows, labels))
    sizes = (len(pickle.dumps(one)) for one in (common, back, (windows, labels)))
    return [size / 1e6 for size in sizes]


def main(networks, counts, steps):
    """Measure and print the table."""
    corpus = open_corpus(Data(bank=2048, judged=8, psd_windows=64))
    for network in networks:
        depth, frontend = network.split("-")
        recipe = Recipe().vary({"depth": depth, "frontend": frontend}).sized()
        weights, gradients, batch = carried(recipe, corpus)
        print(
            f"{recipe.name}, batch {recipe.live.batch}, {policy(recipe)}: {weights:.2f}"
            f" MB of weights to each worker and {gradients:.2f} MB of gradients back, "
            f"{batch:.2f} MB of windows to all"
        )
        alone = measure(recipe, corpus, None, steps)
        print(f"{'workers':<12}{'ms':>8}{'core-ms':>9}{'more':>8}")
        print(f"{'none':<12}{alone[0]:>8.0f}{alone[1]:>9.0f}", flush=True)
        for count in counts:
            wall, core = measure(recipe, corpus, count, steps)
            more = core / alone[1] - 1
            print(f"{count:<12}{wall:>8.0f}{core:>9.0f}{more:>8.0%}", flush=True)


if __name__ == "__main__":
    main(
        sys.argv[1].split(","),
        [int(count) for count in sys.argv[2].split(",")],
        int(sys.argv[3]) if len(sys.argv) > 3 else 10,
    )
