"""The noise of real detectors, from the command to the predictions."""

import pandas as pd

from gwres.tracking import tags

from .conftest import TINY


def test_a_network_is_trained_and_judged_in_detector_noise(project):
    few = TINY | {"trials": "0"}
    del few["depth"], few["batch"]
    project.typed(
        "mlflow run . --env-manager local -P depth=18 -P noise=detector", **few
    )
    run = project.runs()[0]
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "resnet18-templates-detector"
    assert run.data.params["data.noise"] == "detector"
    assert run.data.params["hp.teacher"] == "labels"
    path = project.client().download_artifacts(
        run.info.run_id, "predictions/holdout.parquet", str(project.folder)
    )
    table = pd.read_parquet(path)
    assert {"glitch_H1", "glitch_snr_V1"} <= set(table)
    # The same windows by the classical side, whitened by what is known of them.
    data = {key: few[key] for key in ("judged", "psd_windows")} | {"noise": "detector"}
    project.mlflow(
        {"model": "matched-filter", "statistic": "reweighted"} | data, "evaluate"
    )
    judged = project.runs()[0]
    assert judged.info.status == "FINISHED"
    assert judged.data.tags[tags.SPLIT_HASH] == run.data.tags[tags.SPLIT_HASH]
    assert judged.data.metrics["holdout/roc_auc"] > 0.7
