"""MLflow's registry: versions, aliases, and the gate before them."""

import logging
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import mlflow
import pandas as pd
from filelock import Timeout
from mlflow.entities import LoggedModelInput
from mlflow.models import Model

from gwres import cards, evaluate, metrics, tracking, versions
from gwres.errors import InputError
from gwres.runs import there
from gwres.versions import CHAMPION

log = logging.getLogger(__name__)
ENSEMBLE = "gwres-ensemble"
PREVIOUS = "previous"
ROLLED_BACK = "gwres.rolled_back"
LEVEL = 0.05  # p-value below which a candidate has beaten the champion


@dataclass(frozen=True)
class Decision:
    """What the gate says.

    Args:
        passed: whether the candidate becomes champion.
        reason: why, in words.
        difference: candidate less champion in ROC-AUC, a `metrics.Difference`, or None
            where there is no champion.
    """

    passed: bool
    reason: str
    difference: metrics.Difference | None = None


def passes(candidate, champion):
    """Whether a candidate becomes champion: it must beat the present one, if any.

    Args:
        candidate: predictions table of the gate split.
        champion: the champion's of the same windows, or None.

    Returns:
        `Decision`.

    Raises:
        InputError: not the same windows, or one class alone.
    """
    if champion is None:
        return Decision(True, "there is no champion")
    found = evaluate.compare(candidate, champion)
    passed = found.value > 0 and found.p < LEVEL
    words = "it beats" if passed else "it does not beat"
    reason = (
        f"{words} the champion on the gate split: ROC-AUC {found.value:+.4f} "
        f"({found.low:+.4f} to {found.high:+.4f}), p = {found.p:.2g}"
    )
    return Decision(passed, reason, found)


@contextmanager
def alone():
    """Keep other promotions of the same user off the registry meanwhile.

    On a registry server that several machines use, nothing holds the others off;
    `move` then sees that the champion is not the one that was compared.
    """
    lock = tracking.lock("promote")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("another promotion is at work: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def current(alias=CHAMPION):
    """The ensemble's version that carries the alias, or None."""
    client = mlflow.MlflowClient()
    try:
        version = client.get_registered_model(ENSEMBLE).aliases.get(alias)
    except mlflow.MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    return version and client.get_model_version(ENSEMBLE, version)


def version_of(name, tag, value):
    """The registered version of the name whose tag has the value, or None."""
    client, token = mlflow.MlflowClient(), None
    while True:
        page = client.search_model_versions(f"name = '{name}'", page_token=token)
        for version in page:
            if version.tags.get(tag) == value:
                return version
        token = page.token
        if not token:
            return None


def register(member):
    """Register a member's model, unless it is; and give the member its version."""
    logged = member.run.data
    tags = {
        "gwres.run_id": member.id,
        "gwres.split_hash": member.split_hash,
        "gwres.depth": logged.tags["gwres.depth"],
        "gwres.frontend": logged.tags["gwres.frontend"],
        "gwres.score": member.score,
    }
    for name in ("roc_auc", "roc_auc_low", "roc_auc_high"):
        if f"holdout/{name}" in logged.metrics:
            tags[f"gwres.holdout_{name}"] = logged.metrics[f"holdout/{name}"]
    found = version_of(member.name, "gwres.run_id", member.id)
    if not found:
        uri = f"models:/{member.model_id}"
        found = mlflow.register_model(uri, member.name, tags=tags)
    describe(found, cards.network(logged.tags["gwres.depth"]), lambda: _card(member))
    return replace(member, version=found.version)


def _card(member):
    """The description of a member's version."""
    logged = member.run.data
    size = logged.metrics.get("cost/parameters")
    made = (
        f"Trained on {logged.params.get('data.source', 'unknown')} windows, population "
        f"{logged.params.get('data.population', 'unknown')}, split "
        f"`{member.split_hash}`" + (f"; {size:,.0f} parameters." if size else ".")
    )
    return cards.version(
        member.kind,
        evaluate.headline(logged.metrics),
        evaluate.headline(logged.metrics, "matched_filter"),
        (member.run.info.experiment_id, member.id),
        [made],
    )


def describe(version, model, text):
    """Describe a version and its registered model, where nobody has yet.

    Args:
        version: mlflow's ModelVersion.
        model: description of the registered model, Markdown.
        text: function without arguments to the version's description, Markdown.
    """
    client = mlflow.MlflowClient()
    if not client.get_registered_model(version.name).description:
        client.update_registered_model(version.name, model)
    if not version.description:
        client.update_model_version(version.name, version.version, text())


def join(members, stack, tags):
    """Log an ensemble to the active run and register it.

    The members' files are copied in, from the versions that they have now.

    Args:
        members: list of `Member`, registered.
        stack: a `Stack` of them.
        tags: of the new version.

    Returns:
        mlflow's ModelVersion.
    """
    versions = [f"models:/{one.name}/{one.version}" for one in members]
    artifacts = {
        f"member_{i}": f"{uri}/artifacts/classifier.keras"
        for i, uri in enumerate(versions)
    }
    run_id = mlflow.active_run().info.run_id
    with tempfile.TemporaryDirectory() as folder:
        stack.write(Path(folder) / "stack.json")
        artifacts["stack"] = str(Path(folder) / "stack.json")
        local = mlflow.artifacts.download_artifacts(versions[0], dst_path=folder)
        example = Model.load(local).load_input_example(local)
        logged = tracking.served(artifacts, example)
    lineage = [LoggedModelInput(one.model_id) for one in members]
    mlflow.MlflowClient().log_inputs(run_id, models=lineage)
    tags = tags | {"gwres.run_id": run_id}
    return mlflow.register_model(f"models:/{logged.model_id}", ENSEMBLE, tags=tags)


def load(model):
    """Load a registered model.

    Args:
        model: see `versions.pin`.

    Returns:
        (function of strain (n, 3, 4096), float64, to a DataFrame with a column logit;
        the URI, with the version in place of an alias; an id that no other model has).

    Raises:
        InputError: there is no such model, or its files are gone.
    """
    uri = versions.pin(model)
    loaded = versions.opened(uri)
    return loaded.predict, uri, loaded.metadata.model_uuid


def move(candidate, compared):
    """Make a version champion, and the one it was compared with `previous`.

    Raises:
        InputError: another champion has come meanwhile; nothing is moved.
    """
    found = current()
    if (found and found.version) != (compared and compared.version):
        raise InputError(
            f"version {found and found.version} of {ENSEMBLE} became champion while "
            f"version {candidate.version} was compared with version "
            f"{compared and compared.version}: promote again"
        )
    client = mlflow.MlflowClient()
    # In this order, a kill in between leaves the old champion in its place.
    if compared:
        client.set_registered_model_alias(ENSEMBLE, PREVIOUS, compared.version)
    client.set_registered_model_alias(ENSEMBLE, CHAMPION, candidate.version)


def rollback():
    """Change champion and previous for one another.

    The version that is put down is marked, and no promotion takes it up again; rolling
    back once more does.

    Returns:
        (version that is champion now, version that was), mlflow's ModelVersions.

    Raises:
        InputError: there is no version to go back to, or its files are gone.
    """
    old, new = current(), current(PREVIOUS)
    if not old or not new or old.version == new.version:
        raise InputError(
            f"{ENSEMBLE} has no version to roll back to: champion is version "
            f"{old and old.version}, previous is version {new and new.version}"
        )
    there(f"models:/{ENSEMBLE}/{new.version}", f"version {new.version}")
    client = mlflow.MlflowClient()
    when = str(pd.Timestamp.now("UTC").round("s"))
    client.set_model_version_tag(ENSEMBLE, old.version, ROLLED_BACK, when)
    if ROLLED_BACK in new.tags:
        client.delete_model_version_tag(ENSEMBLE, new.version, ROLLED_BACK)
    client.set_registered_model_alias(ENSEMBLE, CHAMPION, new.version)
    client.set_registered_model_alias(ENSEMBLE, PREVIOUS, old.version)
    return new, old
