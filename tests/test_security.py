"""Nothing that is read is run: no pickle, wherever it hides."""

import ast
import io
import pickle

import joblib
import keras
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gwres.data import g2net
from gwres.errors import InputError
from gwres.judging import predictions
from gwres.models import pretrained
from gwres.models.classifier import network
from gwres.models.resnet import ResNet
from gwres.search.strain import open_strain
from gwres.serve import client, guard
from gwres.serve.scorer import Scorer
from gwres.training import fit
from gwres.training.recipe import Recipe
from tests.test_layout import MODULES, imported

# Results between our own processes, over pipes that nobody else holds.
PICKLES = {"engine.cluster", "engine.item", "engine.local"}
PICKLERS = {"pickle", "dill", "cloudpickle", "joblib", "torch", "shelve", "marshal"}


def risks(source):
    """Calls in a module's text that run what they read, by their words."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name in ("eval", "exec", "read_pickle", "enable_unsafe_deserialization"):
            # A pandas or Keras method named eval would be found too; there is none.
            yield name
        for word in node.keywords:
            value = getattr(word.value, "value", None)
            if word.arg == "allow_pickle" and value is not False:
                yield f"{name}(allow_pickle={value})"
            if word.arg == "safe_mode" and value is not True:
                yield f"{name}(safe_mode={value})"


def test_only_the_engine_unpickles_and_nothing_is_told_to():
    picklers = {
        name
        for name, path in MODULES.items()
        if PICKLERS & {full.partition(".")[0] for full in imported(path.read_text())}
    }
    assert picklers == PICKLES
    found = {name: list(risks(path.read_text())) for name, path in MODULES.items()}
    assert not {name: one for name, one in found.items() if one}


@pytest.mark.parametrize(
    "source",
    [
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=given)",
        "keras.models.load_model(path, safe_mode=False)",
        "keras.config.enable_unsafe_deserialization()",
        "pd.read_pickle(path)",
        "eval(text)",
    ],
)
def test_a_call_that_runs_what_it_reads_is_found(source):
    assert list(risks(source))


class Trap:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (str(self.mark), "w")


@pytest.fixture
def mark(tmp_path):
    """Where a trap leaves its mark; it must not."""
    path = tmp_path / "mark"
    yield path
    assert not path.exists(), "what was read was run"


def test_a_trap_is_one(tmp_path):
    path = tmp_path / "mark"
    pickle.loads(pickle.dumps(Trap(path))).close()
    assert path.exists()


def objects(path, trap):
    """A .npy file of objects."""
    np.save(path, np.array([trap], dtype=object), allow_pickle=True)


def dumped(path, trap):
    """A pickle as it is, as `torch.save` of old wrote it too."""
    path.write_bytes(pickle.dumps(trap))


def by_joblib(path, trap):
    """What scikit-learn's users keep models in."""
    joblib.dump(trap, path)


@pytest.mark.parametrize("write", [objects, dumped, by_joblib])
def test_windows_that_are_pickles_are_refused(write, mark, tmp_path):
    path = tmp_path / "abcdef.npy"
    write(path, Trap(mark))
    if write is objects:
        with pytest.raises(InputError, match="pickled objects are never loaded"):
            g2net.read(path)
    with pytest.raises(InputError, match="abcdef.npy: expected a .npy file"):
        g2net.read(path)


def test_weights_that_are_pickles_are_refused(mark, tmp_path):
    path = tmp_path / "weights.npz"
    np.savez(path, a=np.array([Trap(mark)], dtype=object), allow_pickle=True)
    model = network(ResNet(16, 2), "spectrogram")
    with pytest.raises(ValueError, match="allow_pickle=False"):
        pretrained.load(model, path)


def of_lambda(path, trap):
    """A Keras file with Python code within."""
    layers = [keras.Input((3, 4096)), keras.layers.Lambda(lambda x: x[:, 0, :1])]
    keras.Sequential(layers).save(path)


@pytest.mark.parametrize("write", [of_lambda, dumped, by_joblib])
def test_classifiers_that_hold_code_are_refused(write, mark, tmp_path):
    """When they are served or judged, and as first weights."""
    path = tmp_path / "classifier.keras"
    write(path, Trap(mark))
    message = "Lambda" if write is of_lambda else "classifier.keras"
    with pytest.raises(ValueError, match=message):
        Scorer({"classifier": path})
    recipe = Recipe().vary({"depth": 16, "width": 2, "frontend": "spectrogram"})
    with pytest.raises(InputError, match=f"init must be a classifier.*{message}"):
        fit._begin(network(recipe.model, recipe.frontend), recipe, path)


def hidden(table, trap):
    """Arrow's type that once was unpickled when its file was opened."""
    fields = [
        field.with_metadata(
            {
                b"ARROW:extension:name": b"arrow.py_extension_type",
                b"ARROW:extension:metadata": pickle.dumps(trap),
            }
        )
        for field in table.schema
    ]
    buffer = io.BytesIO()
    made = pa.Table.from_arrays(table.columns, schema=pa.schema(fields))
    pq.write_table(made, buffer)
    return buffer.getvalue()


def test_parquet_that_hides_a_pickle_is_taken_as_numbers_or_refused(mark, tmp_path):
    strain = np.random.default_rng(0).normal(scale=1e-21, size=(2, 3, 4096))
    body = hidden(pq.read_table(io.BytesIO(client.parquet(strain))), Trap(mark))
    kept = pq.read_schema(io.BytesIO(body)).field(0).metadata
    assert kept[b"ARROW:extension:name"] == b"arrow.py_extension_type"
    windows, _ = guard.read(body, guard.PARQUET)
    np.testing.assert_array_equal(windows, strain.astype(np.float32))
    rows = {"id": ["a", "b"], "split": "gate", "label": [0, 1], "logit": [0.0, 1.0]}
    table = pa.table(pd.DataFrame(rows | {"network_snr": [np.nan, 8.0]}))
    path = tmp_path / "gate.parquet"
    path.write_bytes(hidden(table, Trap(mark)))
    assert len(predictions.read(path)) == 2


@pytest.mark.parametrize("suffix", [".hdf5", ".gwf"])
def test_strain_that_is_a_pickle_is_refused(mark, suffix, tmp_path):
    path = tmp_path / f"h1{suffix}"
    dumped(path, Trap(mark))
    with pytest.raises(InputError, match="expected HDF5 or a frame file"):
        open_strain(path)
