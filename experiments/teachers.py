"""From whom does a network learn most in a core-second: labels, or the evidence?

    mlflow run . -e experiment -P name=teachers

Scientific: the teacher. Fixed: ResNet-18 on waveforms, and the core-seconds, 200.
Labels cost nothing, so from them a network sees more windows in that time.
Nuisance: the seed, three of each.
Time: about 20 core-minutes of training. Result: README.md.
"""

from gwres import experiment

BASE = {"depth": 18, "frontend": "waveform", "epochs": 4, "patience": 4}
SEEDS = 3
# Windows that each sees in the time.
VARIED = {
    "labels": {"teacher": "labels", "samples": 300_000},
    "evidence": {"teacher": "evidence", "samples": 220_000},
}


def runs(smoke=False):
    """Each teacher, with each seed."""
    return experiment.runs(VARIED, BASE, smoke, SEEDS)
