"""A recipe: everything that decides what a training run does."""

import re
import shlex
from dataclasses import asdict, dataclass, field, fields, replace
from decimal import Decimal

from gwres.data.settings import GAUSSIAN, SIMULATED, Data, Live, suffix
from gwres.errors import InputError, among, within
from gwres.models.classifier import FRONTENDS, WIDTHS
from gwres.models.resnet import DEPTHS, ResNet

# Settings that `command` always gives, and what the entry points call them.
NAMED = {"depth": "depth", "frontend": "frontend", "source": "data"}
# Factor on the signals at first. Evidence is calibrated from the start, and louder
# signals would undo that; who knows nothing of signals learns nothing of faint ones.
LOUD = {"templates": 1.0, "waveform": 1.0, "spectrogram": 3.0}
RATE = 4e-3  # learning rate of weights that begin at random
PRETRAINED = "pretrained"
PRECISIONS = ("auto", "float32", "mixed_bfloat16")
AUTO, LABELS, EVIDENCE = TEACHERS = "auto", "labels", "evidence"


def kind(depth, frontend, noise):
    """Depth and front end, and the noise where it is not Gaussian, as names have it."""
    return f"resnet{depth}-{frontend}{suffix(noise)}"


@dataclass(frozen=True)
class Fit:
    """How to train.

    Args:
        samples: windows to train on, counted each time they are seen; 0 leaves it to
            the data: 120,000 simulated windows, or ten times a folder's.
        learning_rate: at its peak, after the warm-up; 0 leaves it to where the weights
            come from: `RATE`, or a tenth of it.
        weight_decay: of AdamW.
        warmup: share of training in which the rate rises; then it falls as a cosine.
        epochs: how often to validate, evenly spaced.
        patience: validations without a better ROC-AUC before training stops.
        precision: "float32", "mixed_bfloat16", or "auto", which takes bfloat16 where
            the processor computes in it.
        seed: of the weights and of all random draws.
        teacher: what a network learns from: the "labels"; the "evidence" in place of
            them, see `teacher`; or "auto", the evidence where the data are simulated
            in Gaussian noise and the front end does not begin with it.
        init: where to take first weights from: "pretrained", which are shipped; a run
            id; or the path of a `.keras` file of the same network. "" starts afresh.
    """

    samples: int = 0
    learning_rate: float = 0.0
    weight_decay: float = 0.01
    warmup: float = 0.05
    epochs: int = 12
    patience: int = 6
    precision: str = "auto"
    seed: int = 0
    teacher: str = AUTO
    init: str = ""

    def __post_init__(self):
        among("precision", self.precision, PRECISIONS)
        among("teacher", self.teacher, TEACHERS)
        within("samples", self.samples, 0, 10**10)
        within("learning_rate", self.learning_rate, 0.0, 1.0)
        within("weight_decay", self.weight_decay, 0.0, 1.0)
        within("warmup", self.warmup, 0.0, 0.9)
        within("epochs", self.epochs, 1, 10_000)
        within("patience", self.patience, 1, 10_000)
        within("seed", self.seed, 0, 2**31 - 1)


@dataclass(frozen=True)
class Recipe:
    """Data, network and fit settings of one run.

    Args:
        data: a `Data`.
        live: a `Live`: how batches are made.
        model: a `ResNet`.
        frontend: "templates", "waveform" or "spectrogram".
        fit: a `Fit`.
    """

    data: Data = field(default_factory=Data)
    live: Live = field(default_factory=Live)
    model: ResNet = field(default_factory=ResNet)
    frontend: str = "templates"
    fit: Fit = field(default_factory=Fit)

    def __post_init__(self):
        among("frontend", self.frontend, FRONTENDS)
        if self.fit.teacher != EVIDENCE:
            return
        if self.frontend == "templates":
            raise InputError(
                "teacher must be labels with frontend=templates, which begins with the "
                f"evidence; received {EVIDENCE}"
            )
        if self.live.permute:
            raise InputError(
                f"teacher must be labels where these are permuted; received {EVIDENCE}"
            )
        if self.data.noise != GAUSSIAN:
            raise InputError(
                f"teacher must be labels with noise={self.data.noise}, whose glitches "
                f"the evidence takes for signals; received {EVIDENCE}"
            )

    @property
    def name(self):
        """What the run is called: resnet34-waveform, resnet34-waveform-detector."""
        return kind(self.model.depth, self.frontend, self.data.noise)

    def sized(self):
        """The same recipe with width, loudness, rate and teacher.

        What it leaves open, 0 or "auto", becomes what suits the depth, the front end
        and the data.
        """
        live, (block, _) = self.live, DEPTHS[self.model.depth]
        width = self.model.width or WIDTHS[self.frontend][block]
        simulated = self.data.source == SIMULATED
        if not live.loud:
            # Networks that know signals already need none that are louder.
            eased = simulated and not self.fit.init
            live = replace(live, loud=LOUD[self.frontend] if eased else 1.0)
        rate = self.fit.learning_rate or (RATE / 10 if self.fit.init else RATE)
        teacher = self.fit.teacher
        if teacher == AUTO:
            taught = simulated and self.data.noise == GAUSSIAN and not live.permute
            taught = taught and self.frontend != "templates"
            teacher = EVIDENCE if taught else LABELS
        return replace(
            self,
            model=replace(self.model, width=width),
            live=live,
            fit=replace(self.fit, learning_rate=rate, teacher=teacher),
        )

    def flat(self):
        """Every setting by dotted name: {"model.depth": 34, ...}."""
        flat = {}
        for part, value in asdict(self).items():
            if isinstance(value, dict):
                flat |= {f"{part}.{key}": inner for key, inner in value.items()}
            else:
                flat[part] = value
        return flat

    @property
    def command(self):
        """What trains the same again: `mlflow run . -e train -P depth=34 ...`.

        Depth, front end and data are always named, others where they differ from what
        they are by themselves.
        """
        words, usual = ["mlflow", "run", ".", "-e", "train"], Recipe().flat()
        for name, value in self.flat().items():
            short = name.rpartition(".")[2]
            if short in NAMED or value != usual[name]:
                # Numbers in full, so that the command gives the very same.
                words += ["-P", f"{NAMED.get(short, short)}={value}"]
        return shlex.join(words)

    def vary(self, changes):
        """The same recipe with other settings.

        Args:
            changes: dict of setting to value. A value may be text, as from a command
                line; it is read as the setting's own type. "depth" will do for
                "model.depth"; no two parts share a name.

        Raises:
            InputError: unknown setting, or a value that is not of its type or range.
        """
        known = settings()
        parts = {}
        for name, value in changes.items():
            short = name.rpartition(".")[2]
            if short not in known or name not in (short, _dotted(short)):
                raise InputError(
                    f"settings are {', '.join(sorted(known))}; received {name}"
                )
            part, kind = known[short]
            parts.setdefault(part, {})[short] = parse(short, kind, value)
        changed = parts.pop("", {})
        for part, inner in parts.items():
            changed[part] = replace(getattr(self, part), **inner)
        return replace(self, **changed)


def settings():
    """Every setting's name, with its part of the recipe ("" for its own) and type."""
    places = {"frontend": ("", str)}
    for part in fields(Recipe):
        if part.name != "frontend":
            for inner in fields(part.type):
                places[inner.name] = (part.name, inner.type)
    return places


def _dotted(short):
    part, _ = settings()[short]
    return f"{part}.{short}" if part else short


def parse(name, kind, value):
    """Read a setting's text as its type.

    Raises:
        InputError: it is not of that type.
    """
    if not isinstance(value, str):
        if kind is float and type(value) is int:
            return float(value)
        if type(value) is not kind:
            raise InputError(f"{name} must be {_words(kind)}; received {value!r}")
        return value
    if kind is str:
        return value
    if kind is bool:
        if value.lower() in ("true", "false"):
            return value.lower() == "true"
        raise InputError(f"{name} must be true or false; received {value}")
    if kind is int and re.fullmatch(r"\d+(\.\d+)?[eE]\+?\d{1,2}", value):
        # 1e5 is a whole number, 1.5e0 is none; 34.0 looks like a mistake.
        whole = Decimal(value)
        if whole == whole.to_integral_value():
            return int(whole)
    try:
        return kind(value)
    except ValueError:
        pass
    raise InputError(f"{name} must be {_words(kind)}; received {value}")


def _words(kind):
    return {int: "a whole number", float: "a number", bool: "true or false"}.get(
        kind, "text"
    )


def samples(recipe, corpus):
    """Windows to train on: as the recipe says, or what suits the data."""
    if recipe.fit.samples:
        return recipe.fit.samples
    return 120_000 if recipe.data.source == SIMULATED else 10 * corpus.size
