"""The script that travels inside a logged model (MLflow models-from-code): utterance rows in, predictions out.

MLflow copies this file and the packages `hbaf` and `feature_store` beside the weights, so the model loads in an
environment without the project.
"""

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext


class EmotionModel(PythonModel):
    """Input: rows with `dialogue_id, turn, speaker, text, audio`, whole dialogues; `audio` is a file's absolute path.

    Text or audio may be missing. Output: what `hbaf.inference.predictor.Predictor.predict` returns, in the order of
    the rows.
    """

    def load_context(self, context: PythonModelContext) -> None:
        """MLflow calls it once, before the first `predict`: loads the package."""
        from hbaf.inference.predictor import Predictor

        self.predictor = Predictor.load(Path(context.artifacts["package"]))

    def predict(self, context: PythonModelContext, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Predictions for the rows of `model_input`, see the class; `params` of MLflow are ignored."""
        from hbaf.inference.rows import predict_rows

        # The features of a request are not kept: the store of a long-lived server would grow without anyone asking.
        with tempfile.TemporaryDirectory() as folder:
            return predict_rows(self.predictor, model_input, store=folder)


set_model(EmotionModel())
