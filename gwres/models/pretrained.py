"""Weights that ship with the package, and their cards.

Most are what a network has learned, to begin a training with: the rest of it is fitted
to the data at hand. A search has no such data, so its classifier ships whole.
"""

import hashlib
import io
import tempfile
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from keras import ops

from gwres import cache, proof
from gwres.errors import InputError
from gwres.layers.fitted import Fitted

FOLDER = Path(str(files("gwres.models") / "weights"))


@dataclass(frozen=True)
class Card:
    """What shipped weights are, and what they are worth.

    Args:
        name: of the network, such as resnet34-waveform.
        network: the fields of its `ResNet`.
        population: of the simulated signals it was trained on.
        windows: how many windows it has seen.
        core_seconds: what they cost.
        roc_auc: (value, low, high) on windows that chose nothing, 95% interval.
        evidence: ROC-AUC of the coherent evidence on the same windows.
        judged: what these windows are.
        command: that trained it.
        turns: list of dict, what each turn of its training was and gave.
        digest: BLAKE2b of the file of weights, which has its beginning in its name.
        noise: that the windows had, gaussian or detector.
        whole: whether the file is a classifier that works without more.
    """

    name: str
    network: dict
    population: str
    windows: int
    core_seconds: float
    roc_auc: tuple[float, float, float]
    evidence: float
    judged: str
    command: str
    turns: list
    digest: str = ""
    noise: str = "gaussian"
    whole: bool = False


def _learned(network):
    """Variables of all layers but those that are fitted to PSD and population."""
    layers = [layer for layer in network.layers if not isinstance(layer, Fitted)]
    return [variable for layer in layers for variable in layer.variables]


def _digest(content):
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _path(folder, card, digest):
    kind = "keras" if card.whole else "npz"
    return Path(folder) / f"{card.name}-{digest[:8]}.{kind}"


def save(network, card, folder=FOLDER):
    """Write a network's weights in half precision, and their card beside them.

    Args:
        network: keras.Model, as `classifier.network` makes it.
        card: a `Card`, whose digest is set here.
        folder: where to.

    Returns:
        Path of the weights; the card is `name`.json.
    """
    learned = [ops.convert_to_numpy(x).astype(np.float16) for x in _learned(network)]
    held = io.BytesIO()
    np.savez(held, **{f"{place:03d}": array for place, array in enumerate(learned)})
    return _keep(held.getvalue(), card, folder)


def save_whole(classifier, card, folder=FOLDER):
    """Write a classifier, with all that it is fitted to, and its card beside it.

    Args:
        classifier: keras.Model, as `classifier.classifier` makes it.
        card: a `Card` that says that it is whole; its digest is set here.
        folder: where to.

    Returns:
        Path of the `.keras` file; the card is `name`.json.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "classifier.keras"
        classifier.save(path)
        return _keep(path.read_bytes(), card, folder)


def _keep(content, card, folder):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    digest = _digest(content)
    path = _path(folder, card, digest)
    # The card names the weights: until it is replaced, the old ones are the weights.
    with cache.replacing(path) as scratch:
        scratch.write_bytes(content)
    with cache.replacing(folder / f"{card.name}.json") as scratch:
        written = asdict(card) | {"digest": digest}
        scratch.write_text(proof.sealed(written), encoding="utf-8")
    for other in folder.glob(f"{card.name}-????????{path.suffix}"):
        if other != path:
            other.unlink()
    return path


def cards(folder=FOLDER, whole=False):
    """The cards of all weights in a folder, or of all whole classifiers, by name.

    Raises:
        InputError: one is not as it was written.
    """
    found = {}
    for path in sorted(Path(folder).glob("*.json")):
        found[path.stem] = Card(**proof.opened(path))
    return {name: card for name, card in found.items() if card.whole == whole}


def find(name, config, folder=FOLDER):
    """Find the weights of a network.

    Args:
        name: such as resnet34-waveform.
        config: the `ResNet` that they are for.
        folder: where they lie.

    Returns:
        Path of the weights.

    Raises:
        InputError: there are none of this name, they are of a network of other
            settings, or the file is not as it was written.
    """
    known = cards(folder)
    if name not in known:
        raise InputError(
            f"init=pretrained has weights of {', '.join(known) or 'no network'}; "
            f"received {name}"
        )
    expected = known[name].network | {"dropout": config.dropout}
    if expected != asdict(config):
        raise InputError(
            f"the weights of {name} are for {expected}; received {asdict(config)}"
        )
    return _checked(known[name], folder)


def whole(name, folder=FOLDER):
    """Find a classifier that ships whole.

    Args:
        name: such as resnet18-templates-field-detector.
        folder: where it lies.

    Returns:
        (path of the `.keras` file, its `Card`).

    Raises:
        InputError: there is none of this name, or the file is not as it was written.
    """
    known = cards(folder, whole=True)
    if name not in known:
        raise InputError(
            f"whole classifiers that ship are {', '.join(known) or 'none'}; received "
            f"{name}"
        )
    return _checked(known[name], folder), known[name]


def _checked(card, folder):
    path = _path(folder, card, card.digest)
    if not path.is_file() or _digest(path.read_bytes()) != card.digest:
        raise InputError(f"{path} is not as it was written: install gwres again")
    return path


def load(network, path):
    """Set a network's weights to those of a file that `find` gave.

    Raises:
        InputError: they do not fit.
    """
    with np.load(path, allow_pickle=False) as arrays:
        values = [arrays[name].astype(np.float32) for name in sorted(arrays.files)]
    variables = _learned(network)
    shapes = [tuple(variable.shape) for variable in variables]
    if [value.shape for value in values] != shapes:
        raise InputError(f"{path} does not fit {network.name}: other shapes of weights")
    for variable, value in zip(variables, values):
        variable.assign(value)
