"""What MLflow is told of a study: a nested run for each trial, figures of them all."""

import mlflow

from gwres import notes, tracking


class Trial:
    """A nested run for one trial of the study, as `tune.tune` records it.

    Attributes:
        state: complete, pruned or failed; the tag gwres.state at the end.
    """

    def __init__(self, number, chosen, settings):
        self.number, self.chosen, self.settings = number, chosen, settings
        self.scores, self.state = [], "complete"

    def __enter__(self):
        """Begin the run."""
        self.run = mlflow.start_run(nested=True, run_name=f"trial-{self.number:03d}")
        tracking.recipe(self.chosen)
        mlflow.set_tag("mlflow.runName", f"trial-{self.number:03d}")
        return self

    def __call__(self, row):
        """Log an epoch."""
        self.scores.append(row["val/roc_auc"])
        tracking.epoch(row)

    def __exit__(self, kind, error, trace):
        """End the run: a pruned trial is finished, a failed one failed."""
        if error is not None and self.state != "pruned":
            self.state = "failed"
            mlflow.set_tag("gwres.error", tracking.reason(error))
        text = notes.trial(self.number, self.state, self.settings, self.scores)
        tracking.described(text, {"gwres.state": self.state, "gwres.entry": "trial"})
        mlflow.end_run("FAILED" if self.state == "failed" else "FINISHED")


def record(name, table, figures):
    """Log a study: its name, its best score, its trials, and figures by name."""
    mlflow.set_tag("gwres.study", name)
    complete = table[table["state"] == "complete"]
    mlflow.log_metric("tune/best_roc_auc", float(complete["value"].max()))
    mlflow.log_table(table, "study/trials.json")
    for called, figure in figures.items():
        mlflow.log_figure(figure, f"study/{called}.png")
