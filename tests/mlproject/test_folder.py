"""The main job on a folder that holds too little."""

import pandas as pd

from gwres.data.split import split

from .conftest import TINY

FILES = {k: v for k, v in TINY.items() if k not in ("bank", "judged", "trials")}


def test_a_folder_too_small_to_tune_on_says_so(project):
    out = project.folder / "few"
    code, output = project.mlflow(
        {"out": str(out), "train": "30", "test": "0"}, "simulate"
    )
    assert code == 0, output
    labels = pd.read_csv(out / "training_labels.csv", dtype={"id": str})
    held = labels[[split(name) == "validation" for name in labels["id"]]]
    assert held["target"].nunique() < 2, "validation has no ROC-AUC to tune by"
    small = {**FILES, "data": str(out), "trials": "1"}
    project.typed("mlflow run . --env-manager local -P depth=50", **small)
    run = project.runs()[0]
    assert run.info.status == "FINISHED"
    assert "no tuning: val/roc_auc needs both labels" in run.data.tags["gwres.note"]
    assert "gwres.study" not in run.data.tags
