"""The names that gwres gives to tags, parameters and metrics in MLflow, in one table.

Every other module takes the names from here, so that a name that is renamed is renamed
everywhere, and what a name means is looked up in one place: `TAGS` and `METRICS`.
"""

import re

# Tags of runs.
ENTRY = "gwres.entry"
VERSION = "gwres.version"
COMMIT = "gwres.git_commit"
ERROR = "gwres.error"
WARNING = "gwres.note"
SPLIT_HASH = "gwres.split_hash"
DEPTH = "gwres.depth"
FRONTEND = "gwres.frontend"
COMMAND = "gwres.command"
AREA = "gwres.roc_auc"
STUDY = "gwres.study"
STATE = "gwres.state"
DECISION = "gwres.decision"
REASON = "gwres.reason"
MODEL = "gwres.model"
EXPERIMENT = "gwres.experiment"
MEMBER = "gwres.member"
HOST = "gwres.host"
CONTINUED = "gwres.continued_by"
# Tags of registered versions.
RUN = "gwres.run_id"
SCORE = "gwres.score"
STACK = "gwres.stack"
MEMBERS = "gwres.members"
ENSEMBLE = "gwres.ensemble"
ROLLED_BACK = "gwres.rolled_back"
HOLDOUT = "gwres.holdout_"  # before the name of a holdout's metric
# MLflow's own, which its pages read.
NAME = "mlflow.runName"
NOTE = "mlflow.note.content"
COLOUR = "mlflow.runColor"
PARENT = "mlflow.parentRunId"
ENVIRONMENT = "mlflow.project.env"
CONTEXT = "mlflow.data.context"  # of a data set

TAGS = {
    ENTRY: "what began the run: main, train, trial, evaluate, promote, …",
    VERSION: "version of gwres",
    COMMIT: "commit of the checkout that gwres was imported from",
    ERROR: "why the run failed",
    WARNING: "what the reader of the run must know, such as metrics left out",
    SPLIT_HASH: "fingerprint of which window is in which split; only runs with equal "
    "ones are compared",
    DEPTH: "depth of the network",
    FRONTEND: "front end of the network",
    COMMAND: "the command that trains the same network again",
    AREA: "ROC-AUC on the holdout with its 95% interval, for the runs table",
    STUDY: "name of the Optuna study that chose the settings",
    STATE: "how a trial ended: complete, pruned or failed",
    DECISION: "what a promotion did: promoted, kept, dry run, rolled back",
    REASON: "why it did so",
    MODEL: "the model that a submission or a search is by",
    EXPERIMENT: "the file of experiments/ that the run is of",
    MEMBER: "digest of what a run of an experiment is made from: equal digests, equal "
    "runs but for chance",
    HOST: "the machine, whose dead runs a new one may close",
    CONTINUED: "the later run of the same experiment that shows its members now",
    RUN: "the run that made the registered version",
    SCORE: "best validation score of a member's training",
    STACK: "kind of the stack: average, nonnegative or logistic",
    MEMBERS: "the registered versions that an ensemble is made of",
    ENSEMBLE: "digest of an ensemble's members and weights",
    ROLLED_BACK: "when the version was put down; it is not promoted again",
    f"{HOLDOUT}roc_auc": "ROC-AUC on the holdout",
    f"{HOLDOUT}roc_auc_low": "lower end of its 95% interval",
    f"{HOLDOUT}roc_auc_high": "upper end of its 95% interval",
}

# Metrics.
TRAIN_LOSS, VAL_LOSS, VAL_AREA = "train/loss", "val/loss", "val/roc_auc"
CORE_SECONDS = "cost/train_core_seconds"
SPEED = "cost/windows_per_core_second"
PARAMETERS = "cost/parameters"
BEST_TRIAL = "tune/best_roc_auc"
HOLDOUT_AREA = "holdout/roc_auc"
FILTER_AREA = "matched_filter/roc_auc"
EVIDENCE_AREA = "evidence/roc_auc"
ADDED = "evidence/difference"  # and its ends
SENSITIVITY = "holdout/tpr_at_fpr_0.01"
GATE_AREA, GATE_DIFFERENCE, GATE_P = "gate/roc_auc", "gate/difference", "gate/p"
SCORED, BAD = "predict/windows", "predict/bad_windows"
SEARCHED, BACKGROUND = "search/hours", "search/background_days"
CANDIDATES, GATED = "search/candidates", "search/gates"
LOUDEST, RAREST = "search/loudest", "search/lowest_far_per_year"
SEARCH_SECONDS = "cost/search_core_seconds"

# Names with what stands for a part of them in angle brackets. The split is that of the
# judged windows; the matched filter's metrics are of the same windows.
METRICS = {
    TRAIN_LOSS: "binary cross-entropy of the epoch's batches",
    VAL_LOSS: "binary cross-entropy on validation, by epoch",
    VAL_AREA: "ROC-AUC on validation, by epoch; stops and tunes",
    CORE_SECONDS: "processor time of the fit, validation left out, s",
    SPEED: "windows trained on in a core-second",
    PARAMETERS: "weights of the network",
    BEST_TRIAL: "highest validation ROC-AUC of a study's complete trials",
    "<split>/roc_auc": "area under the ROC curve",
    "<split>/roc_auc_low": "lower end of its 95% interval (DeLong)",
    "<split>/roc_auc_high": "upper end of its 95% interval",
    "<split>/roc_auc_snr_<bin>": "ROC-AUC of the signals in a bin of network SNR "
    "against all noise",
    "<split>/tpr_at_fpr_<rate>": "share of signals found where that share of noise "
    "passes",
    "<split>/partial_auc_0.01": "area up to a false-positive rate of 0.01, 0.5 for "
    "chance and 1 at best (McClish)",
    "<split>/accuracy": "share of windows on the right side of logit 0",
    "<split>/brier": "mean squared error of the probabilities",
    "matched_filter/roc_auc": "ROC-AUC of the matched filter on the same windows; its "
    "ends and SNR bins as above",
    EVIDENCE_AREA: "ROC-AUC of the coherent evidence on the same windows, which the "
    "front end `templates` has before training",
    ADDED: "the network's ROC-AUC less that",
    f"{ADDED}_low": "lower end of its 95% interval (paired, DeLong)",
    f"{ADDED}_high": "upper end of its 95% interval",
    GATE_DIFFERENCE: "candidate less champion in ROC-AUC on the split gate",
    GATE_P: "two-sided p-value of no difference",
    "difference/<first> less <second>": "difference in ROC-AUC of two models",
    "difference_p/<first> less <second>": "two-sided p-value of no difference",
    "roc_auc/<name>": "ROC-AUC of a row of an experiment's table",
    "<name>/roc_auc": "the same, of an experiment that measures",
    "<name>/difference": "a difference that an experiment measures",
    SCORED: "windows of a submission",
    BAD: "windows of a submission that could not be read",
    SEARCHED: "strain that was searched, in one detector or more",
    BACKGROUND: "live time of all time slides together",
    CANDIDATES: "candidates of a search, noise's own among them",
    GATED: "excursions that were silenced before the search",
    LOUDEST: "statistic of the candidate with the lowest false-alarm rate",
    RAREST: "that candidate's false alarms a year, where it is known",
    SEARCH_SECONDS: "processor time of a search, s",
}

# Prefixes of parameters. MLflow logs those of `mlflow run` as raw text under their
# plain names, and a parameter cannot be logged twice.
PREFIXES = {
    "hp": "settings of training",
    "model": "settings of the network",
    "data": "settings of the data",
    "evaluate": "what was judged",
    "search": "what was searched, and how",
}


def known(metric):
    """Whether a metric's name is in `METRICS`, or fits one of its patterns."""
    patterns = (re.sub(r"<\w+>", ".+", re.escape(name)) for name in METRICS)
    return any(re.fullmatch(pattern, metric) for pattern in patterns)
