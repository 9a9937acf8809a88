"""Search of continuous strain: candidates with false-alarm rates."""

import os

# By itself gwpy changes how every figure of the process looks, once it is imported.
os.environ.setdefault("GWPY_RCPARAMS", "false")
