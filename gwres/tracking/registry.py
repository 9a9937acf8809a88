"""MLflow's registry: models by name, versions, aliases."""

import logging
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import mlflow
import pandas as pd
from filelock import Timeout
from mlflow.entities import LoggedModelInput
from mlflow.models import Model

from gwres import proof
from gwres.errors import InputError
from gwres.judging.predictions import area_of
from gwres.pages import notes
from gwres.tracking import messages, runs, store, tags

logger = logging.getLogger(__name__)
ENSEMBLE = "gwres-ensemble"
# The alias of what a bare name means, where there is one; and of what it was before.
CHAMPION, PREVIOUS = "champion", "previous"


@dataclass(frozen=True)
class Version:
    """A registered version.

    Args:
        name: of the registered model.
        number: of the version, text.
        tags: dict of name to text.
        description: Markdown, or "".
        model_id: of the logged model that it is.
    """

    name: str
    number: str
    tags: dict
    description: str
    model_id: str

    @classmethod
    def of(cls, version):
        """From MLflow's own, which stays in this room."""
        return cls(
            version.name,
            str(version.version),
            dict(version.tags),
            version.description or "",
            (version.source or "").removeprefix("models:/"),
        )

    @property
    def uri(self):
        """models:/name/version."""
        return f"models:/{self.name}/{self.number}"

    @property
    def area(self):
        """ROC-AUC on the holdout, a `metrics.Interval`, or None where it has none.

        It is read from the tags, for the run that made the version may be gone.
        """
        return area_of(
            {
                tag.replace(tags.HOLDOUT, "holdout/"): float(value)
                for tag, value in self.tags.items()
                if tag.startswith(tags.HOLDOUT)
            }
        )


@contextmanager
def one_promotion():
    """Keep other promotions of the same user off the registry meanwhile.

    On a registry server that several machines use, nothing holds the others off;
    `move` then sees that the champion is not the one that was compared.
    """
    lock = store.lock("promote")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.info("another promotion is at work: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def pin(model):
    """The URI of one model, which stays that model's.

    Only what describes the model is read; its files may still be gone.

    Args:
        model: gwres-resnet34-templates/3, gwres-ensemble@champion, or a bare name,
            gwres-resnet34-templates: its champion or, without one, its newest version;
            each with or without models:/ before it; or runs:/<run id>/model.

    Returns:
        URI, with the version in place of an alias or a bare name.

    Raises:
        InputError: there is no such model, or it is none that gwres logged.
    """
    uri = model
    try:
        uri = model if model.startswith("runs:/") else _versioned(model)
        paths = _files(uri)
    except (mlflow.MlflowException, OSError) as error:
        raise InputError(
            f"model must be registered, such as {ENSEMBLE}@{CHAMPION} or "
            f"gwres-resnet18-templates/2, or runs:/<run id>/model; received {model}: "
            f"{error}{_home(uri)}; registered are {', '.join(registered()) or 'none'}"
        ) from None
    if not {"classifier", "member_0"} & set(paths):
        raise InputError(
            f"model must be a classifier or an ensemble that gwres has logged; {model} "
            f"holds {', '.join(paths) or 'no files of one'}"
        )
    return uri


def registered():
    """Names of all registered models."""
    return sorted(model.name for model in mlflow.search_registered_models())


def _versioned(model):
    """models:/name/version, or models:/m-<id> of a model that is not registered."""
    client = mlflow.MlflowClient()
    plain = model.removeprefix("models:/")
    name, _, alias = plain.partition("@")
    if alias:
        version = client.get_model_version_by_alias(name, alias)
        return f"models:/{name}/{version.version}"
    name, _, number = plain.partition("/")
    if not number and name.startswith("m-"):
        return f"models:/{name}"
    if not number:
        number = client.get_registered_model(name).aliases.get(CHAMPION)
    if not number:
        latest = client.search_model_versions(
            f"name = '{name}'", 1, order_by=["version_number DESC"]
        )
        if not latest:
            raise InputError(f"model must have a version; {name} has none")
        number = latest[0].version
    return f"models:/{name}/{client.get_model_version(name, number).version}"


def _home(uri):
    """Where a registered model's files were recorded, in words; "" if that is unknown.

    MLflow keeps whole paths, so that a folder that was moved leaves its models behind.
    """
    client = mlflow.MlflowClient()
    name, _, number = uri.removeprefix("models:/").partition("/")
    try:
        if number:
            name = Version.of(client.get_model_version(name, number)).model_id
        place = client.get_logged_model(name).artifact_location
    except mlflow.MlflowException:
        return ""
    return f" (its files were recorded at {place}{store.lead(place)})"


def _info(uri):
    """What a model says of itself, in its file MLmodel.

    Raises:
        InputError: the file is not as MLflow wrote it.
    """
    try:
        return mlflow.models.get_model_info(uri)
    except (mlflow.MlflowException, OSError):
        raise
    except Exception as error:
        # Whatever parsing it ends in: MLflow promises none of it.
        raise InputError(
            f"{uri}: its MLmodel is not as it was logged ({type(error).__name__}: "
            f"{error})"
        ) from error


def _files(uri):
    """Where within a model its networks and its stack are: artifact name to path."""
    flavors = _info(uri).flavors
    artifacts = flavors.get("python_function", {}).get("artifacts", {})
    return {name: one["path"] for name, one in artifacts.items()}


def require_files(model_id, what):
    """Raise `InputError` unless all of a logged model's files are there.

    They are listed; what is fetched is the file that describes the model.

    Args:
        model_id: of the logged model.
        what: to call the model in the message.
    """
    uri = f"models:/{model_id}"
    client = mlflow.MlflowClient()
    try:
        paths = _files(uri)
        listed = {
            item.path
            for folder in {str(PurePosixPath(path).parent) for path in paths.values()}
            for item in client.list_logged_model_artifacts(model_id, folder)
        }
    except (mlflow.MlflowException, OSError) as error:
        reason = f"{error}{_home(uri)}"
        raise InputError(f"{what} ({uri}): its files are gone: {reason}") from None
    gone = sorted(path for path in paths.values() if path not in listed)
    if gone or not paths:
        reason = f"{', '.join(gone)}{_home(uri)}"
        raise InputError(f"{what} ({uri}): its files are gone: {reason}")


@contextmanager
def files(uri):
    """The files of a model, fetched for as long as they are looked at.

    Args:
        uri: as `pin` gives it.

    Yields:
        dict of artifact name, as in `messages.served`, to path.

    Raises:
        InputError: they are gone, or not as they were logged.
    """
    with tempfile.TemporaryDirectory() as folder:
        try:
            local = mlflow.artifacts.download_artifacts(uri, dst_path=folder)
            paths = {name: Path(local, path) for name, path in _files(uri).items()}
        except (mlflow.MlflowException, OSError) as error:
            reason = f"{error}{_home(uri)}"
            raise InputError(f"{uri} cannot be loaded: {reason}") from None
        gone = [str(path) for path in paths.values() if not path.is_file()]
        if gone:
            raise InputError(f"{uri} cannot be loaded: {', '.join(gone)} is not there")
        if listed := paths.pop("proof", None):
            proof.check_list(listed, paths)
        else:
            runs.unproved(uri)
        yield paths


def identity(uri):
    """The id of a logged model, which no other has under any name."""
    return _info(uri).model_uuid


def data(uri):
    """The `Data` that a model was trained on; of an ensemble, its first member's.

    Args:
        uri: as `pin` gives it.

    Raises:
        InputError: the run that made it is gone, or does not tell.
    """
    try:
        run = runs.read(_info(uri).run_id)
        if "data.population" not in run.params:
            ensemble = version_of(ENSEMBLE, tags.RUN, run.id)
            first = ensemble.tags[tags.MEMBERS].split(", ")[0]
            name, _, number = first.rpartition("/")
            member = mlflow.MlflowClient().get_model_version(name, number)
            run = runs.read(member.tags[tags.RUN])
        return runs.Member(run, float("nan")).data
    except (mlflow.MlflowException, AttributeError, KeyError) as error:
        raise InputError(
            f"expected a model whose run tells what it was trained on; {uri} does not "
            f"({error})"
        ) from error


def current(alias=CHAMPION):
    """The ensemble's `Version` that carries the alias, or None."""
    client = mlflow.MlflowClient()
    try:
        number = client.get_registered_model(ENSEMBLE).aliases.get(alias)
    except mlflow.MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    return number and Version.of(client.get_model_version(ENSEMBLE, number))


def version_of(name, tag, value):
    """The `Version` of the name whose tag has the value, or None."""
    versions = mlflow.search_model_versions(filter_string=f"name = '{name}'")
    alike = (one for one in versions if one.tags.get(tag) == value)
    version = next(alike, None)
    return version and Version.of(version)


def register(member):
    """Register a member's model, unless it is; and give the member its version."""
    run = member.run
    named = {
        tags.RUN: member.id,
        tags.SPLIT_HASH: member.split_hash,
        tags.DEPTH: run.tags[tags.DEPTH],
        tags.FRONTEND: run.tags[tags.FRONTEND],
        tags.SCORE: member.score,
    }
    for name in ("roc_auc", "roc_auc_low", "roc_auc_high"):
        if f"holdout/{name}" in run.metrics:
            named[f"{tags.HOLDOUT}{name}"] = run.metrics[f"holdout/{name}"]
    version = version_of(member.name, tags.RUN, member.id)
    if not version:
        uri = f"models:/{member.model_id}"
        made = mlflow.register_model(uri, member.name, tags=named)
        version = Version.of(made)
    describe(version, notes.member_model(member.kind), lambda: _card(member))
    return replace(member, version=version.number)


def _card(member):
    """The description of a member's version."""
    run = member.run
    size = run.metrics.get(tags.PARAMETERS)
    made = (
        f"Trained on {run.params.get('data.source', 'unknown')} windows, population "
        f"{run.params.get('data.population', 'unknown')}, split "
        f"`{member.split_hash}`" + (f"; {size:,.0f} parameters." if size else ".")
    )
    areas = area_of(run.metrics), area_of(run.metrics, "matched_filter")
    return notes.version(member.kind, *areas, run.place, [made])


def describe(version, model, text):
    """Describe a version and its registered model, unless they are described already.

    Args:
        version: a `Version`.
        model: description of the registered model, Markdown.
        text: function without arguments to the version's description, Markdown.
    """
    client = mlflow.MlflowClient()
    if not client.get_registered_model(version.name).description:
        client.update_registered_model(version.name, model)
    if not version.description:
        client.update_model_version(version.name, version.number, text())


def join(members, stack, named):
    """Log an ensemble to the active run and register it.

    The members' files are copied in, from the versions that they have now.

    Args:
        members: list of `Member`, registered.
        stack: the `Stack` of the members.
        named: dict of tags of the new version.

    Returns:
        `Version`.

    Raises:
        InputError: a member's files are gone, or not as they were logged.
    """
    versions = [f"models:/{one.name}/{one.version}" for one in members]
    artifacts = {
        f"member_{i}": f"{uri}/artifacts/classifier.keras"
        for i, uri in enumerate(versions)
    }
    run_id = mlflow.active_run().info.run_id
    digests = {f"member_{i}": _digest(uri) for i, uri in enumerate(versions)}
    with tempfile.TemporaryDirectory() as folder:
        stack.write(Path(folder) / "stack.json")
        artifacts["stack"] = str(Path(folder) / "stack.json")
        local = mlflow.artifacts.download_artifacts(versions[0], dst_path=folder)
        example = Model.load(local).load_input_example(local)
        model_id = messages.served(artifacts, example, digests=digests)
    lineage = [LoggedModelInput(one.model_id) for one in members]
    mlflow.MlflowClient().log_inputs(run_id, models=lineage)
    named = named | {tags.RUN: run_id}
    made = mlflow.register_model(f"models:/{model_id}", ENSEMBLE, tags=named)
    return Version.of(made)


def _digest(uri):
    """The digest of a member's classifier, which is as it was logged."""
    with files(uri) as paths:
        return proof.of(paths["classifier"])


def move(candidate, compared):
    """Make a version champion, and the one it was compared with `previous`.

    Args:
        candidate: a `Version`.
        compared: the `Version` that was champion when it was compared, or None.

    Raises:
        InputError: another champion has come meanwhile; nothing is moved.
    """
    champion = current()
    if (champion and champion.number) != (compared and compared.number):
        raise InputError(
            f"version {champion and champion.number} of {ENSEMBLE} became champion "
            f"while version {candidate.number} was compared with version "
            f"{compared and compared.number}: promote again"
        )
    client = mlflow.MlflowClient()
    # In this order, a kill in between leaves the old champion in its place.
    if compared:
        client.set_registered_model_alias(ENSEMBLE, PREVIOUS, compared.number)
    client.set_registered_model_alias(ENSEMBLE, CHAMPION, candidate.number)


def rollback():
    """Change champion and previous for one another.

    The version that is put down is marked, and no promotion takes it up again; rolling
    back once more does.

    Returns:
        (`Version` that is champion now, `Version` that was).

    Raises:
        InputError: there is no version to go back to, or its files are gone.
    """
    old, new = current(), current(PREVIOUS)
    if not old or not new or old.number == new.number:
        raise InputError(
            f"{ENSEMBLE} has no version to roll back to: champion is version "
            f"{old and old.number}, previous is version {new and new.number}"
        )
    require_files(new.model_id, f"version {new.number}")
    client = mlflow.MlflowClient()
    when = str(pd.Timestamp.now("UTC").round("s"))
    client.set_model_version_tag(ENSEMBLE, old.number, tags.ROLLED_BACK, when)
    if tags.ROLLED_BACK in new.tags:
        client.delete_model_version_tag(ENSEMBLE, new.number, tags.ROLLED_BACK)
    client.set_registered_model_alias(ENSEMBLE, CHAMPION, new.number)
    client.set_registered_model_alias(ENSEMBLE, PREVIOUS, old.number)
    return new, old
