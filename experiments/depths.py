"""Which depth and which front end tell signals from noise best, at what cost?

    mlflow run . -e experiment -P name=depths

Scientific: depth and front end. Nuisance: width and learning rate, which each depth
has its own of. Fixed: the data, the windows seen by a front end, one seed.
What a front end has computed it need not learn, and what it computes costs time, so
the windows that each sees differ.
Time: about 4,000 core-seconds of training, and a minute for each member's start and its
scores. Result: README.md.
"""

from gwres import experiment
from gwres.models.classifier import FRONTENDS

# Windows that each member is trained on.
SAMPLES = {"templates": 60_000, "waveform": 120_000, "spectrogram": 30_000}
TRIALS = 0  # finished trials of each member's study; 0 takes the settings below
# Where 1-D and 2-D networks of a depth differ, the front end is named too.
TUNED = {
    16: {},
    18: {},
    34: {},
    50: {},
    101: {},
    152: {},
}


def runs(smoke=False):
    """Six depths, three front ends."""
    varied = {
        f"resnet{depth}-{frontend}": {
            "depth": depth,
            "frontend": frontend,
            "samples": SAMPLES[frontend],
        }
        | TUNED[depth]
        for frontend in FRONTENDS
        for depth in TUNED
    }
    return experiment.runs(varied, {}, smoke, trials=TRIALS)
