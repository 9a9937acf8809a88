"""Weights that ship with the package, and their cards."""

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

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
        digest: BLAKE2b of the file of weights.
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
    digest: str = ""


def _learned(network):
    """Variables of all layers but those that are fitted to PSD and population."""
    layers = [layer for layer in network.layers if not isinstance(layer, Fitted)]
    return [variable for layer in layers for variable in layer.variables]


def _digest(path):
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


def save(network, card, folder=FOLDER):
    """Write a network's weights in half precision, and their card beside them.

    Args:
        network: keras.Model, as `classifier.network` makes it.
        card: a `Card`, whose digest is set here.
        folder: where to.

    Returns:
        Path of the weights; the card has the suffix .json.
    """
    path = Path(folder) / f"{card.name}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = [np.asarray(x, np.float16) for x in _learned(network)]
    np.savez(path, **{f"{place:03d}": array for place, array in enumerate(arrays)})
    written = asdict(card) | {"digest": _digest(path)}
    path.with_suffix(".json").write_text(json.dumps(written, indent=1) + "\n")
    return path


def cards(folder=FOLDER):
    """The cards of all weights in a folder, by name."""
    found = {}
    for path in sorted(Path(folder).glob("*.json")):
        found[path.stem] = Card(**json.loads(path.read_text()))
    return found


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
    path = Path(folder) / f"{name}.npz"
    if not path.is_file() or _digest(path) != known[name].digest:
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
