"""Which depth and which front end tell signals from noise best, at what cost?

    mlflow run . -e experiment -P name=depths

Scientific: depth and front end. Nuisance: width and learning rate, at their defaults.
Fixed: the data, the windows seen by a front end, one seed.
What a front end has computed it need not learn, and what it computes costs time, so
the windows that each sees differ.
Time: about 4,000 core-seconds of training, and a minute for each member's start and its
scores. Result: README.md.
"""

from gwres import experiment
from gwres.models.classifier import FRONTENDS
from gwres.models.resnet import DEPTHS

# Windows that each member is trained on.
SAMPLES = {"templates": 60_000, "waveform": 120_000, "spectrogram": 30_000}


def runs(smoke=False):
    """Six depths, three front ends, at the default settings."""
    varied = {
        f"resnet{depth}-{frontend}": {
            "depth": depth,
            "frontend": frontend,
            "samples": SAMPLES[frontend],
        }
        for frontend in FRONTENDS
        for depth in DEPTHS
    }
    return experiment.runs(varied, {}, smoke)
