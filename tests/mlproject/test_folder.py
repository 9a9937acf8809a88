"""The main job on files: simulated ones, and real G2Net windows where they lie near."""

from .conftest import TINY

FILES = {k: v for k, v in TINY.items() if k not in ("bank", "judged", "trials")}


def test_simulate_then_train_on_the_folder(project):
    out = project.folder / "simulated set"
    code, output = project.mlflow(
        {"out": str(out), "train": "200", "test": "4"}, "simulate"
    )
    assert code == 0, output
    note = project.runs()[0].data.tags["mlflow.note.content"]
    assert "204 windows simulated" in note and f"data={out}'" in note
    code, output = project.mlflow({**FILES, "data": str(out)}, "train")
    assert code == 0, output
    run = project.runs()[0]
    assert run.info.status == "FINISHED"
    assert run.data.params["data.source"] == str(out)
    assert run.data.metrics["matched_filter/roc_auc"] > 0.4


def test_a_folder_too_small_to_tune_on_says_so(project):
    out = project.folder / "few"
    code, output = project.mlflow(
        {"out": str(out), "train": "30", "test": "0"}, "simulate"
    )
    assert code == 0, output
    code, output = project.mlflow({**FILES, "data": str(out), "trials": "1"})
    assert code == 0, output
    run = project.runs()[0]
    assert run.info.status == "FINISHED"
    notes = run.data.tags["gwres.note"]
    assert "no tuning: val/roc_auc needs both labels" in notes or (
        "study" in "".join(run.data.tags)
    )
