"""The model that MLflow loads and serves: a file that it reads from the logged model.

MLflow runs this file by itself ("models from code"), so it ends by handing MLflow its
model. The rest of gwres never imports it: see `scorer`.
"""

import mlflow
import numpy as np

from gwres.errors import InputError
from gwres.serve.scorer import Scorer


class Model(mlflow.pyfunc.PythonModel):
    """A `Scorer` behind MLflow's `predict`."""

    def load_context(self, context):
        """Load the networks."""
        self.score = Scorer(context.artifacts)

    # The hint is one that MLflow infers nothing from: the signature decides.
    def predict(self, context, model_input: np.ndarray, params=None):
        """Score windows.

        Args:
            context: MLflow's, unused.
            model_input: strain (n, 3, 4096); see `Scorer.rows`.
            params: none.

        Returns:
            DataFrame of n rows: logit, probability, detectors.

        Raises:
            MlflowException: INVALID_PARAMETER_VALUE, which a server answers with status
                400, for what `Scorer.rows` refuses.
        """
        try:
            return self.score(model_input)
        except InputError as error:
            raise mlflow.MlflowException.invalid_parameter_value(str(error)) from error


mlflow.models.set_model(Model())
