"""The served model: strain in, logit and probability out, from one network or several.

MLflow loads this file by itself from a logged model ("models from code"), so it ends
by handing MLflow its model.
"""

import sys
import threading

import keras
import mlflow
import numpy as np
import pandas as pd
import tensorflow as tf

# A server answers with the code that was logged beside the model. An installed gwres
# may have been imported before, for a plugin of MLflow; it is forgotten here.
if "mlflow.pyfunc.scoring_server.app" in sys.modules:
    for _name in [name for name in sys.modules if name.split(".")[0] == "gwres"]:
        del sys.modules[_name]

# ruff: noqa: E402
import gwres.models.classifier  # noqa: F401  registers the layers with Keras
from gwres import guard
from gwres.errors import InputError
from gwres.models.stack import ALONE, Stack, joined
from gwres.strain import DETECTORS, SHAPE, check_all

BATCH = 64  # windows at a time, however many come, so that memory stays as it is


class Classifier(mlflow.pyfunc.PythonModel):
    """A classifier, or a stack of them, behind MLflow's `predict`.

    The artifacts are `classifier`, or `member_0`, `member_1`, ... and `stack`.
    """

    def load_context(self, context):
        """Load the networks, with Keras's safe mode on."""
        files = dict(context.artifacts)
        stack = files.pop("stack", None)
        self.stack = Stack.read(stack) if stack else ALONE
        names = sorted(files, key=lambda name: (len(name), name))
        members = [keras.models.load_model(files[name]) for name in names]
        # One graph for batches of any size, traced now and not at the first request.
        shape = tf.TensorSpec((None, *SHAPE), tf.float32)
        self.members = tf.function(joined(members), input_signature=[shape])
        self.members(np.zeros((1, *SHAPE), np.float32))
        # Requests take turns: each uses all cores, and memory does not grow with them.
        self.turn = threading.Lock()
        self.most = np.inf
        if guard.serving():
            guard.install(self.rows)
            self.most = guard.WINDOWS

    # The hint is one that MLflow infers nothing from: the signature decides.
    def predict(self, context, model_input: np.ndarray, params=None):
        """Score windows.

        Args:
            context: MLflow's, unused.
            model_input: strain (n, 3, 4096), dimensionless; a missing detector is a
                row of zeros.
            params: none.

        Returns:
            DataFrame of n rows: logit, probability from 0 to 1, and the detectors that
            were not missing, such as "H1 L1".

        Raises:
            MlflowException: INVALID_PARAMETER_VALUE, which a server answers with status
                400, for strain that `strain.check` refuses.
        """
        try:
            return pd.DataFrame(self.rows(np.asarray(model_input)))
        except InputError as error:
            raise mlflow.MlflowException.invalid_parameter_value(str(error)) from error

    def rows(self, windows):
        """What `predict` does, as a list of dicts, which a server need only write.

        Raises:
            InputError: not strain, see `strain.check`; or too many windows for a
                server.
        """
        if windows.ndim != 3 or windows.shape[1:] != SHAPE or not len(windows):
            raise InputError(f"expected strain (n, 3, 4096), received {windows.shape}")
        if len(windows) > self.most:
            raise InputError(
                f"expected at most {self.most:,} windows in a request, received "
                f"{len(windows):,}"
            )
        used = check_all(windows) > 0
        starts = range(0, len(windows), BATCH)
        with self.turn:
            each = [
                self.members(
                    windows[i : i + BATCH].astype(np.float32, copy=False)
                ).numpy()
                for i in starts
            ]
        logit = self.stack(np.concatenate(each))
        broken = np.flatnonzero(~np.isfinite(logit))
        if len(broken):
            raise InputError(f"window {broken[0]}: the network finds no finite logit")
        probability = np.exp(-np.logaddexp(0, -logit))
        names = [
            " ".join(name for name, there in zip(DETECTORS, row) if there)
            for row in used
        ]
        return [
            {"logit": one, "probability": p, "detectors": there}
            for one, p, there in zip(logit.tolist(), probability.tolist(), names)
        ]


mlflow.models.set_model(Classifier())
