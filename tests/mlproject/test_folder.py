"""The main job on a folder that holds too little."""

from .conftest import TINY

FILES = {k: v for k, v in TINY.items() if k not in ("bank", "judged", "trials")}


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
