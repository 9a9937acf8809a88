"""Training with workers that share each batch: the same numbers as with one process."""

import os
import subprocess
import sys
from functools import partial

import numpy as np
import psutil
import pytest

from gwres.errors import InputError
from gwres.jobs.train import train
from gwres.training import fit, shares
from gwres.training.recipe import Recipe
from tests import readme

TINY = {"depth": 16, "width": 2, "samples": 128, "epochs": 4, "batch": 16}
TINY |= {"precision": "float32", "teacher": "labels", "frontend": "waveform"}


def batch(step, rows=16):
    """Windows, half of them with a louder middle, and labels."""
    rng = np.random.default_rng([7, step])
    windows = rng.standard_normal((rows, 2048, 3)).astype(np.float32)
    labels = np.repeat([1.0, 0.0], rows // 2).astype(np.float32)[:, None]
    windows[: rows // 2, 1000:1100] *= 1.5
    return windows, labels


class Few:
    """What a fit needs of a corpus, made in no time.

    Args:
        filters: a `Filters`.
        asd: as `Corpus.asd`.
    """

    size = None

    def __init__(self, filters, asd):
        self.made, self.asd = filters, asd

    def filters(self):
        return self.made

    def batches(self, live, seed, steps, first=0):
        return (batch(step, live.batch) for step in range(first, steps))

    def validation(self):
        windows, labels = batch(10**6, 40)
        return windows.astype(np.float16), labels[:, 0].astype(int)


@pytest.fixture
def corpus(designed, curve):
    return Few(designed, curve)


def recipe(**settings):
    return Recipe().vary(TINY | settings).sized()


def norm(arrays):
    return np.sqrt(sum(float(np.sum(np.square(one, dtype=float))) for one in arrays))


def worker(recipe, corpus, rows=16):
    build = partial(fit._model, recipe, corpus.filters(), recipe.fit.precision)
    return shares.worker(build, fit._loss(recipe), rows)


@pytest.mark.parametrize("rows", [16, 128, 131])
@pytest.mark.parametrize("workers", [1, 3, 5])
def test_parts_are_all_of_the_batch_in_pairs(rows, workers):
    windows, labels = np.arange(rows), np.arange(rows)[:, None]
    starts, parts, of = zip(*shares.parts(windows, labels, workers))
    assert len(parts) == workers
    np.testing.assert_array_equal(np.concatenate(parts), windows)
    np.testing.assert_array_equal(np.concatenate(of), labels)
    assert [part[0] for part in parts] == list(starts)
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 2 + rows % 2
    assert all(size % 2 == 0 for size in sizes[:-1])


@pytest.mark.parametrize(
    "settings",
    [
        {"frontend": "templates", "dropout": 0.4},
        {"teacher": "evidence", "norm": "group", "width": 4},
    ],
    ids=["templates", "evidence"],
)
def test_shares_have_the_gradients_of_the_whole_batch(settings, corpus):
    """And drop what that drops."""
    chosen = recipe(**settings)
    model = fit._compiled(chosen, corpus.filters(), 10, None)
    rng = np.random.default_rng(0)
    for one in model.trainable_variables:  # a head of zeros would hide the trunk
        one.assign(one + 0.1 * rng.standard_normal(one.shape))
    common = shares.state(model)
    # One for each number of rows, as a worker has always the same.
    all_rows, share = worker(chosen, corpus), worker(chosen, corpus)
    whole = all_rows(common, (0, *batch(0)))
    some = [share(common, part) for part in shares.parts(*batch(0), 2)]
    loss, gradients = shares.joined(some)
    difference = [one - other for one, other in zip(gradients, whole.gradients)]
    assert norm(whole.gradients) > 1e-2
    assert norm(difference) < 1e-6 * norm(whole.gradients)
    assert loss == pytest.approx(whole.loss, rel=1e-6)
    for one in some:
        np.testing.assert_array_equal(one.seeds, whole.seeds)
    drawn, after = common[1], whole.seeds
    assert len(drawn) == (chosen.model.dropout > 0)
    if drawn:
        assert not np.array_equal(drawn, after)
        other = all_rows((common[0], after), (0, *batch(0)))
        apart = [one - other for one, other in zip(other.gradients, whole.gradients)]
        assert norm(apart) > 1e-2 * norm(whole.gradients)


COLUMNS = ["train/loss", "val/loss", "val/roc_auc"]


def undisturbed_and(disturbed, corpus, folder, workers):
    """A training in one process, and one that workers go on with, alike to the end.

    Args:
        disturbed: called after each epoch with its row.
        corpus: a `Few`.
        folder: for checkpoints.
        workers: how many go on with the second one after its first epoch.

    Returns:
        The second one, `Trained`.
    """

    def stop(row):
        raise KeyboardInterrupt

    chosen = recipe()
    whole = fit.fit(chosen, corpus, folder / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit.fit(chosen, corpus, folder / "parts", on_epoch=stop)
    again = fit.fit(
        chosen, corpus, folder / "parts", on_epoch=disturbed, workers=workers
    )
    np.testing.assert_allclose(
        again.history[COLUMNS], whole.history[COLUMNS], rtol=1e-5
    )
    windows = np.float32(corpus.validation()[0])
    inner = [np.asarray(one.classifier.layers[-1](windows)) for one in (again, whole)]
    np.testing.assert_allclose(*inner, atol=1e-5)
    assert np.ptp(inner[0]) > 0.01
    assert again.windows == whole.windows and again.core_seconds > 0
    return again


def lost(caplog):
    """How often a worker was lost, as it was told."""
    told = [one for one in caplog.records if one.name == "gwres.engine.crew"]
    assert all("is lost, another does its part" in one.getMessage() for one in told)
    return len(told)


def test_workers_go_on_with_a_training_though_one_is_killed(corpus, tmp_path, caplog):
    before = set(psutil.Process().children())

    def kill(row):
        if row["epoch"] == 1:
            new = set(psutil.Process().children()) - before
            workers = [one for one in new if "spawn_main" in str(one.cmdline())]
            assert len(workers) == 2
            workers[1].kill()

    undisturbed_and(kill, corpus, tmp_path, workers=2)
    assert lost(caplog) == 1


class Here:
    """A crew of this process."""

    def __init__(self, make, size, gpus):
        self.made = [make() for _ in range(size)]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def step(self, common, parts):
        return [made(common, part) for made, part in zip(self.made, parts)]


ON_JAX = """
import keras, numpy as np
from gwres.training import shares
from tests.training.test_shares import Here, batch

def build():
    windows = keras.Input((2048, 3))
    pooled = keras.layers.AveragePooling1D(64)(keras.ops.square(windows))
    dropped = keras.layers.Dropout(0.3)(keras.layers.Flatten()(pooled))
    return keras.Model(windows, keras.layers.Dense(1)(dropped))

class Ends(keras.callbacks.Callback):
    first, epochs, steps, core_seconds = 0, 5, 3, 0.0

    def __init__(self):
        super().__init__()
        self.losses = []

    @property
    def done(self):
        return len(self.losses) == 3

    def on_epoch_end(self, epoch, logs):
        self.losses.append(logs["loss"])
        self.model.stop_training = self.done

shares.work.crew = Here
losses = []
for workers in (None, 3):
    keras.utils.set_random_seed(0)
    model, ends = build(), Ends()
    model.compile(keras.optimizers.AdamW(0.01, global_clipnorm=0.1), "mse")
    model.optimizer.build(model.trainable_variables)
    batches = (batch(step) for step in range(15))
    if workers:
        shares.fit(model, build, "mse", workers, batches, ends)
    else:
        model.fit(batches, epochs=5, steps_per_epoch=3, verbose=0, callbacks=[ends])
    losses.append(ends.losses)
assert len(losses[0]) == 3 and len(set(losses[0])) == 3, losses
np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
"""


def test_any_network_is_shared_on_another_backend():
    """With its dropout, its clip by norm, the losses of its epochs, and its end."""
    done = subprocess.run(
        [sys.executable, "-c", ON_JAX],
        env=os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        cwd=readme.ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"norm": "batch"}, "norm must be none or group with workers=3, .* batch"),
        ({"batch": "4"}, "workers must be from 1 to 2; received 3"),
    ],
)
def test_what_cannot_be_shared_is_refused(monkeypatch, settings, message):
    monkeypatch.setenv("GWRES_WORKERS", "3")
    with pytest.raises(InputError, match=message):
        train(recipe(**settings))
    monkeypatch.delenv("GWRES_WORKERS")
    assert shares.asked(recipe(**settings)) is None
