"""Weights that ship: trained by a command, and begun with by another."""

from gwres.models import pretrained

from .conftest import TINY


def test_weights_are_trained_for_a_turn(project):
    out = project.folder / "weights"
    small = {name: TINY[name] for name in ("width", "bank", "samples", "epochs")}
    small |= {"depths": "16", "turns": "1", "out": out, "batch": "32"}
    project.typed(
        "mlflow run . --env-manager local -e pretrain -P depths=18,34 -P turns=3",
        **small,
    )
    run = project.runs()[0]
    assert run.info.status == "FINISHED"
    (card,) = pretrained.cards(out).values()
    assert (card.name, card.windows) == ("resnet16-waveform", 256)
    assert run.data.metrics["resnet16-waveform/roc_auc"] == card.roc_auc[0]
    assert f"{card.evidence:.4f}" in run.data.tags["mlflow.note.content"]
    held = [file.path for file in project.client().list_artifacts(run.info.run_id)]
    assert any(name.endswith(".npz") for name in held)


def test_a_run_begins_with_the_weights_of_the_package(project):
    small = {name: TINY[name] for name in ("bank", "judged", "psd_windows", "samples")}
    project.typed(
        "mlflow run . --env-manager local -P depth=18 -P frontend=waveform",
        **small | {"epochs": "1"},
    )
    run = project.runs()[0]
    assert run.info.status == "FINISHED"
    assert run.data.params["hp.init"] == "pretrained"
    # From nothing, 256 windows give 0.75 and less.
    assert run.data.metrics["holdout/roc_auc"] > 0.8
