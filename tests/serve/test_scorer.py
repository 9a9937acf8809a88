"""A scorer answers as its networks do, and needs no more than they do."""

import keras
import numpy as np
import pytest

from gwres.errors import InputError
from gwres.layers.whiten import FREQUENCIES, gain, whiten
from gwres.models.classifier import classifier, network
from gwres.models.resnet import ResNet
from gwres.models.stack import Stack
from gwres.serve.scorer import Scorer
from gwres.simulate.noise import noise
from tests.contract import ROOT, awake, close, fresh


@pytest.fixture(scope="module")
def strain():
    return noise(np.random.default_rng(0), 70)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two classifiers that disagree, and a stack of them, as files."""
    folder, paths = tmp_path_factory.mktemp("files"), {}
    # Some draws of weights hardly answer to a louder ASD.
    keras.utils.set_random_seed(1)
    for place, width in enumerate((2, 3)):
        small = awake(network(ResNet(16, width), "spectrogram"))
        paths[f"member_{place}"] = folder / f"{place}.keras"
        classifier(small, np.ones((3, 2049))).save(paths[f"member_{place}"])
    paths["stack"] = folder / "stack.json"
    Stack("logistic", (2.0, -0.5), 0.25, 0.0).write(paths["stack"])
    return paths


def test_one_classifier_answers_its_own_logit(files, strain):
    score = Scorer({"classifier": files["member_0"]})
    model = keras.models.load_model(files["member_0"])
    expected = np.asarray(model(strain.astype(np.float32)))[:, 0]
    answer = score(strain)
    np.testing.assert_allclose(answer["logit"], expected, atol=1e-5)
    odds = answer["probability"] / (1 - answer["probability"])
    np.testing.assert_allclose(np.log(odds), answer["logit"], atol=1e-6)


def test_a_stack_weighs_its_members(files, strain):
    alone = [Scorer({"classifier": files[f"member_{i}"]})(strain) for i in (0, 1)]
    first, second = (answer["logit"] for answer in alone)
    together = Scorer(files)(strain)["logit"]
    np.testing.assert_allclose(together, 2 * first - second / 2 + 0.25, atol=1e-4)


def test_detectors_that_were_used_are_named(files, strain):
    missing = strain[:3].copy()
    missing[0, 2] = 0
    missing[1, [0, 2]] = 0
    score = Scorer({"classifier": files["member_0"]})
    assert list(score(missing)["detectors"]) == ["H1 L1", "L1", "H1 L1 V1"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:, :2], r"received \(1, 2, 4096\)"),
        (lambda x: x[0], r"received \(3, 4096\)"),
        (lambda x: x[:0], r"received \(0, 3, 4096\)"),
        (lambda x: x * np.nan, "window 0: expected finite strain"),
        (lambda x: x * 0, "zeros in all detectors"),
    ],
)
def test_what_is_no_strain_is_refused(files, strain, change, message):
    score = Scorer({"classifier": files["member_0"]})
    with pytest.raises(InputError, match=message):
        score.rows(change(strain[:1]))


UNTOUCHED = """
import os, sys
import fastapi, starlette.applications, mlflow.pyfunc, numpy
from mlflow.pyfunc import scoring_server
modules = fastapi, fastapi.applications, starlette.applications, scoring_server
before = [dict(vars(module)) for module in modules]
script, classifier, folder = sys.argv[1:]
artifacts = {"classifier": classifier}
mlflow.pyfunc.save_model(
    folder, python_model=script, artifacts=artifacts, pip_requirements=[]
)
# As `mlflow models serve` does: the server's module is there while the model is loaded.
os.environ[scoring_server._SERVER_MODEL_PATH] = folder
import mlflow.pyfunc.scoring_server.app as server
import gwres.serve.app
print([
    name
    for module, old in zip(modules, before)
    for name, value in old.items()
    if vars(module)[name] is not value
])
print(type(server.app) is before[0]["FastAPI"])
strain = numpy.random.default_rng(0).normal(0, 1e-21, (2, 3, 4096))
print(len(scoring_server.load_model_with_mlflow_config(folder).predict(strain)))
"""


def test_mlflow_serves_the_model_and_nothing_of_it_is_replaced(files, tmp_path):
    script = ROOT / "gwres" / "serve" / "model.py"
    done = fresh(UNTOUCHED, script, files["member_0"], tmp_path / "model")
    assert done.stdout.split() == ["[]", "True", "2"]


NEEDED = """
import sys
import keras, pandas, tensorflow  # Keras brings what it finds
before = set(sys.modules)
import gwres.serve.scorer
new = {name.partition(".")[0] for name in set(sys.modules) - before}
strange = {"lal", "bilby", "optuna", "matplotlib", "sklearn", "fastapi", "mlflow"}
print(strange & new, "gwres.tracking" in sys.modules)
"""


def test_a_served_model_needs_no_more_than_it_pins():
    """`log.SERVED` lists the network's needs, not those of simulation and pages."""
    assert fresh(NEEDED).stdout.split() == ["set()", "False"]


def test_an_asd_that_is_known_is_used(files, strain):
    """As the networks do with it, a window at a time or many."""
    known = np.full((70, 3, 513), 1e-21)
    plain = Scorer(files)(strain)
    # The files' networks hold an ASD of one in units of 1e-21.
    np.testing.assert_allclose(
        Scorer(files)(strain, known)["logit"], plain["logit"], atol=1e-4
    )
    known[1] *= 30
    other = Scorer(files)(strain, known)["logit"]
    assert abs(other[1] - plain["logit"][1]) > 1e-3
    np.testing.assert_allclose(other[2:], plain["logit"][2:], atol=1e-4)


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda asds: asds[:1],
            r"ASDs \(2, 3, 513\), or one .*\(3, 513\) or \(1539,\); received \(1, 3, 5",
        ),
        (lambda asds: asds[0, :, 1:], r"received \(3, 512\)"),
        (lambda asds: asds[0].ravel()[1:], r"received \(1538,\)"),
        (lambda asds: -asds, "above 0 .* received -1e-21 to -1e-21"),
        (lambda asds: asds * 0, "window 0: expected an ASD of H1 above 0"),
        (lambda asds: asds * 1e21, "window 0: expected an ASD of H1"),
        (lambda asds: asds + np.nan, "received nan"),
    ],
)
def test_what_is_no_asd_is_refused(files, strain, change, message):
    known = np.full((2, 3, 513), 1e-21)
    with pytest.raises(InputError, match=message):
        Scorer(files)(strain[:2], change(known))


def test_one_asd_may_be_of_all_windows(files, strain):
    score, one = Scorer(files), np.full((3, 513), 1e-21)
    one[0] *= 2
    each = score(strain, np.repeat(one[None], len(strain), 0))["logit"]
    for form in one, one.ravel():
        np.testing.assert_array_equal(score(strain, form)["logit"], each)


def test_of_a_missing_detector_no_asd_is_asked(files, strain):
    missing, known = strain[:1].copy(), np.full((1, 3, 513), 1e-21)
    missing[0, 1] = 0
    score = Scorer(files)
    expected = score(missing, known)["logit"][0]
    for value in np.nan, np.inf, 0:
        known[0, 1] = value
        answer = score(missing, known)
        assert answer["logit"][0] == pytest.approx(expected, abs=1e-4)
        assert answer["detectors"].tolist() == ["H1 V1"]


@pytest.mark.parametrize("names", [["member_0"], ["member_0", "member_1", "stack"]])
def test_windows_that_are_whitened_already_score_the_same(files, strain, names):
    """By the ASD that the first network holds; missing detectors stay zeros."""
    given = {name: files[name] for name in names}
    score = Scorer(given if len(names) > 1 else {"classifier": files["member_0"]})
    some = strain.copy()
    some[3, 1] = 0
    shown = np.asarray(whiten(some, gain(score.asd, FREQUENCIES)))
    assert shown.shape == (70, 2048, 3) and not shown[3, :, 1].any()
    expected = [row["logit"] for row in score.rows(some)]
    found = score.whitened(shown)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.abs(score.whitened(2 * shown) - found).max() > 1e-3


def test_only_a_lone_network_on_templates_has_its_snrs(files, untrained, strain):
    """Whose logits are those of the windows that they are of."""
    assert Scorer(files).templates is None
    assert Scorer({"classifier": files["member_0"]}).templates is None
    score = Scorer({"classifier": untrained})
    shown = np.asarray(whiten(strain[:7], gain(score.asd, FREQUENCIES)))
    parts = [[x.numpy() for x in one] for one in score.templates(shown)]
    expected = score.whitened(shown)
    close(score.of_snrs(parts), expected, rtol=1e-4)
    few = [[x[:, 2:4] for x in one] for one in parts]
    close(score.of_snrs(few), expected[2:4], rtol=1e-4)
    assert score.beyond.experimental_get_tracing_count() <= 2
