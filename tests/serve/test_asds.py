"""The ASD that a caller knows, through both servers, as the networks use it."""

import json
import shutil
import sys
from pathlib import Path

import keras
import mlflow
import numpy as np
import pytest
import yaml
from mlflow.pyfunc import scoring_server

from gwres.errors import InputError
from gwres.layers.whiten import refined
from gwres.models.classifier import classifier, informed, network
from gwres.models.resnet import ResNet
from gwres.models.stack import Stack
from gwres.serve import client, guard
from gwres.serve.app import application
from gwres.serve.scorer import Scorer
from gwres.simulate.noise import noise
from gwres.tracking import log, messages
from tests.contract import awake
from tests.serve.listening import listening

HZ = np.arange(513)
# Of each detector, strain/sqrt(Hz): steep below 60 Hz, with a line at 300 Hz.
SHAPED = 4e-24 * (1 + (60 / np.maximum(HZ, 10)) ** 4) * (1 + 20 * (HZ == 300))
OWN = np.array([[1.0], [1.2], [3.0]]) * SHAPED
OTHER = OWN * np.array([0.5, 1.0, 2.0, 1.0, 1.5])[:, None, None] * (1 + HZ / 512)
WEIGHTS = Stack("logistic", (2.0, -0.5), 0.25, 0.0)
# Networks of other random weights differ by up to 1.3e-4 here.
ATOL = 5e-4


@pytest.fixture(scope="module")
def strain():
    return noise(np.random.default_rng(0), 5)


@pytest.fixture(scope="module")
def networks():
    """Two classifiers that disagree, both fitted on the noise of `OWN`."""
    fitted = np.asarray(refined(OWN[None]))[0]
    each = (awake(network(ResNet(16, width), "spectrogram")) for width in (2, 3))
    return [classifier(one, fitted) for one in each]


@pytest.fixture(scope="module")
def files(networks, tmp_path_factory):
    """What a `Scorer` reads."""
    folder, paths = tmp_path_factory.mktemp("files"), {}
    for place, model in enumerate(networks):
        paths[f"member_{place}"] = str(folder / f"{place}.keras")
        model.save(paths[f"member_{place}"])
    paths["stack"] = str(folder / "stack.json")
    WEIGHTS.write(paths["stack"])
    return paths


@pytest.fixture(scope="module")
def plain(networks, strain):
    """The logits with the ASD that the networks hold."""
    return WEIGHTS(np.hstack([model(strain.astype("f4")) for model in networks]))


@pytest.fixture(scope="module")
def answers(networks, strain):
    """The logits of each window (rows) with each of `OTHER` (columns)."""
    models = [informed(model) for model in networks]
    columns = []
    for asd in OTHER:
        given = strain.astype("f4"), np.broadcast_to(asd.astype("f4"), (5, 3, 513))
        columns.append(WEIGHTS(np.hstack([model(list(given)) for model in models])))
    return np.stack(columns, axis=1)


@pytest.fixture(scope="module")
def own(files):
    """gwres's own server: its address."""
    with listening(application(Scorer(files), "models:/net/1", 60.0)) as (host, port):
        yield f"http://{host}:{port}"


@pytest.fixture(scope="module")
def logged(files, strain, tmp_path_factory):
    """The folder of the model as MLflow keeps it."""
    folder = tmp_path_factory.mktemp("store")
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with log.run("train"):
            model_id = messages.served(files, strain[:1])
        kept = mlflow.get_logged_model(model_id).artifact_location
    mlflow.set_tracking_uri(None)
    return Path(kept.removeprefix("file://"))


def opened(folder):
    """MLflow's model of a folder."""
    with pytest.MonkeyPatch.context() as patch:
        # MLflow puts the code beside the model there.
        patch.setattr(sys, "path", sys.path[:])
        return mlflow.pyfunc.load_model(str(folder))


@pytest.fixture(scope="module")
def model(logged):
    return opened(logged)


@pytest.fixture(scope="module")
def mlflows(model):
    """What `mlflow models serve` runs: its address."""
    with pytest.MonkeyPatch.context() as patch:
        # It is set for good there.
        patch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")
        with listening(scoring_server.init(model)) as (host, port):
            yield f"http://{host}:{port}"


def as_json(url, strain, **more):
    """The logits that a server answers."""
    body = json.dumps({"inputs": strain.tolist()} | more).encode()
    return client.ask(body, guard.JSON, url)["logit"].to_numpy()


def in_params(url, strain, asd):
    """As MLflow has it, in JSON."""
    return as_json(url, strain, params={"asd": np.ravel(asd).tolist()})


def beside(url, strain, asds):
    """As this server has it, in JSON."""
    return as_json(url, strain, asd=asds.tolist())


def in_parquet(url, strain, asds):
    """As the client sends it, in several requests."""
    return client.score(strain, url, batch=2, asds=asds)["logit"].to_numpy()


@pytest.mark.parametrize(
    ("server", "way"),
    [
        ("own", beside),
        ("own", in_params),
        ("own", in_parquet),
        ("mlflows", in_params),
    ],
)
def test_one_asd_of_all_windows_is_used(request, server, way, strain, plain, answers):
    """The networks' own changes nothing; another gives what `informed` gives."""
    url = request.getfixturevalue(server)
    np.testing.assert_allclose(as_json(url, strain), plain, atol=ATOL)
    np.testing.assert_allclose(way(url, strain, OWN), plain, atol=ATOL)
    for place in 0, 2:
        found = way(url, strain, OTHER[place])
        np.testing.assert_allclose(found, answers[:, place], atol=ATOL)
        assert abs(found - plain).min() > 10 * ATOL


@pytest.mark.parametrize("way", [beside, in_parquet])
def test_each_window_may_have_an_asd(way, own, strain, plain, answers):
    found = way(own, strain, np.repeat(OWN[None], 5, axis=0))
    np.testing.assert_allclose(found, plain, atol=ATOL)
    for order in [0, 1, 2, 3, 4], [4, 2, 0, 3, 1]:
        found = way(own, strain, OTHER[order])
        np.testing.assert_allclose(found, answers[range(5), order], atol=ATOL)
    assert np.ptp(answers, axis=1).min() > 10 * ATOL, "each could be told from others"


def test_of_a_missing_detector_no_asd_is_asked(own, mlflows, strain):
    missing, known = strain[:1].copy(), OTHER[0].copy()
    missing[0, 1], known[1] = 0, np.nan
    expected = in_params(own, missing, OTHER[0])
    for found in (
        beside(own, missing, known),
        in_parquet(own, missing, known),
        in_params(mlflows, missing, known),
    ):
        np.testing.assert_allclose(found, expected, atol=ATOL)
    with pytest.raises(InputError, match="status 400: .*an ASD of L1 .* nan to nan"):
        beside(own, strain[:1], known)


def changed(where, value):
    asd = OTHER[0].copy()
    asd[where] = value
    return asd


@pytest.mark.parametrize("way", [beside, in_params, in_parquet])
@pytest.mark.parametrize(
    ("asd", "message"),
    [
        (changed((0, 100), 0), "window 0: expected an ASD of H1 above 0 .* received 0"),
        (changed((1, 20), np.nan), "an ASD of L1 .* received nan"),
        (changed((2, 512), np.inf), "an ASD of V1 .* to inf"),
        (-OTHER[0], "an ASD of H1 .* received -"),
        (OTHER[0] * 1e21, "below 1e-15 strain"),
    ],
)
def test_what_is_no_asd_is_refused(way, own, strain, plain, asd, message):
    with pytest.raises(InputError, match=f"status 400: .*{message}"):
        way(own, strain, asd)
    np.testing.assert_allclose(as_json(own, strain), plain, atol=ATOL)


@pytest.mark.parametrize("value", [0, -1e-23, np.nan, np.inf])
def test_below_the_band_nothing_is_asked(own, strain, answers, value):
    """Whitening begins at 20 Hz."""
    found = beside(own, strain, changed((slice(None), slice(0, 20)), value))
    np.testing.assert_allclose(found, answers[:, 0], atol=ATOL)


@pytest.mark.parametrize(
    "asds",
    [
        OTHER[:4],
        OTHER[:1],
        OTHER[0][:2],
        OTHER[0][:, :-1],
        OTHER[0, 0],
        OTHER[:0],
        OTHER.reshape(5, -1),
    ],
)
def test_asds_of_another_shape_are_refused(own, strain, asds):
    received = str(np.shape(asds.tolist())).replace("(", r"\(").replace(")", r"\)")
    expected = rf"\(5, 3, 513\), or one .*\(3, 513\) or \(1539,\); received {received}"
    with pytest.raises(InputError, match=f"status 400: expected ASDs {expected}"):
        beside(own, strain, asds)


def test_mlflow_s_server_refuses_what_is_no_asd(mlflows, strain, plain):
    for asd, message in (
        (OTHER[0] * 0, "an ASD of H1 above 0"),
        (OTHER[0, :, :-1], r"or \(1539,\); received \(1536,\)"),
    ):
        with pytest.raises(InputError, match=f"status 400: .*{message}"):
            in_params(mlflows, strain, asd)
    with pytest.raises(InputError, match="status 400"):
        as_json(mlflows, strain, params={"asd": [["a"]]})
    with pytest.raises(InputError, match="status 400: .*2 columns"):
        in_parquet(mlflows, strain, OTHER)
    np.testing.assert_allclose(in_params(mlflows, strain, []), plain, atol=ATOL)


def test_a_logged_model_takes_an_asd_in_this_process(model, strain, plain, answers):
    for given in {}, {"params": None}, {"params": {}}, {"params": {"asd": []}}:
        found = model.predict(strain, **given)["logit"]
        np.testing.assert_allclose(found, plain, atol=ATOL)
    for asd in OTHER[1].ravel(), OTHER[1].ravel().tolist():
        found = model.predict(strain, params={"asd": asd})["logit"]
        np.testing.assert_allclose(found, answers[:, 1], atol=ATOL)


def test_a_model_without_the_parameter_answers_as_before(
    logged, strain, plain, tmp_path
):
    """As those that were logged before models had it."""
    folder = shutil.copytree(logged, tmp_path / "model")
    described = yaml.safe_load((folder / "MLmodel").read_text())
    assert json.loads(described["signature"]["params"])[0]["name"] == "asd"
    described["signature"]["params"] = None
    (folder / "MLmodel").write_text(yaml.safe_dump(described))
    for given in {}, {"params": {"asd": OTHER[1].ravel().tolist()}}:
        found = opened(folder).predict(strain, **given)["logit"]
        np.testing.assert_allclose(found, plain, atol=ATOL)


def test_a_saved_classifier_keeps_both_ways(files, networks, strain):
    read, known = keras.models.load_model(files["member_0"]), OTHER.astype("f4")
    given = [strain.astype("f4"), known]
    np.testing.assert_allclose(
        informed(read)(given), informed(networks[0])(given), atol=ATOL
    )
    np.testing.assert_allclose(read(given[0]), networks[0](given[0]), atol=ATOL)
