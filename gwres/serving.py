"""The served model: strain in, logit and probability out.

MLflow loads this file by itself from a logged model ("models from code"), so it ends
by handing MLflow its model.
"""

import keras
import mlflow
import numpy as np
import pandas as pd

import gwres.models.classifier  # noqa: F401  registers the layers with Keras
from gwres.strain import SHAPE, check


class Classifier(mlflow.pyfunc.PythonModel):
    """One classifier behind MLflow's `predict`."""

    def load_context(self, context):
        """Load the network, with Keras's safe mode on."""
        self.model = keras.models.load_model(context.artifacts["classifier"])

    def predict(self, context, model_input, params=None):
        """Score windows.

        Args:
            context: MLflow's, unused.
            model_input: strain (n, 3, 4096), dimensionless; a missing detector is a
                row of zeros.
            params: none.

        Returns:
            DataFrame of n rows: logit, and probability from 0 to 1.

        Raises:
            InputError: see `strain.check`.
        """
        windows = np.asarray(model_input)
        if windows.ndim != 3 or windows.shape[1:] != SHAPE or not len(windows):
            raise ValueError(f"expected strain (n, 3, 4096), received {windows.shape}")
        for place, window in enumerate(windows):
            check(window, f"window {place}")
        logit = self.model.predict_on_batch(windows.astype(np.float32))[:, 0]
        logit = logit.astype(np.float64)
        probability = np.exp(-np.logaddexp(0, -logit))
        return pd.DataFrame({"logit": logit, "probability": probability})


mlflow.models.set_model(Classifier())
