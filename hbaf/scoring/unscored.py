"""Turns that a model cannot judge: a modality is missing that it was not trained to miss."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

SCORED, UNSCORED = "scored", "unscored"


def mark_unscored(scores: pd.DataFrame, trained_to_miss: Mapping[str, bool]) -> pd.DataFrame:
    """Adds `status` and `unscored_reason`, and empties the predictions of unscored rows.

    Args:
        scores: with `audio_label` and `text_label`, missing where that modality was absent.
        trained_to_miss: "audio" and "text" -> whether the model can do without it (`PackageFacts`).
    """
    missing = {name: scores[f"{name}_label"].isna().to_numpy() for name in ("audio", "text")}
    reason = np.full(len(scores), None, dtype=object)
    for name, absent in missing.items():
        if not trained_to_miss.get(name, False):
            reason[absent] = f"no {name}, which this model was not trained to miss"
    reason[missing["audio"] & missing["text"]] = "neither audio nor text"
    gone = np.array([value is not None for value in reason], bool)
    marked = scores.assign(
        status=np.where(gone, UNSCORED, SCORED), unscored_reason=pd.Series(reason, index=scores.index, dtype="str")
    )
    optional = [name for name in ("attention",) if name in marked]
    for name in ("label", "confidence", *optional, *(str(name) for name in scores if str(name).startswith("p_"))):
        marked[name] = marked[name].mask(gone)
    if "uncertain" in marked:
        marked["uncertain"] = marked["uncertain"].astype("boolean").mask(gone)
    return marked
