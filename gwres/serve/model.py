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
            params: None, or a dict that may have `asd`, the one-sided ASD of all
                windows' noise: 1,539 numbers, the rows of (3, 513) one after another,
                strain/sqrt(Hz), every Hz from 0 to 512 Hz. Without it, or with an
                empty list, the networks use the one that they hold.

        Returns:
            DataFrame of n rows: logit, probability, detectors.

        Raises:
            MlflowException: INVALID_PARAMETER_VALUE, which a server answers with status
                400, for what `Scorer.rows` refuses.
        """
        # MLflow has no default of None for a list: who gives nothing gives [].
        asd = (params or {}).get("asd") or None
        try:
            asds = None if asd is None else np.array(asd, dtype=np.float64)
            return self.score(model_input, asds)
        except InputError as error:
            raise mlflow.MlflowException.invalid_parameter_value(str(error)) from error


mlflow.models.set_model(Model())
