"""What scores are for, and turns that a model cannot judge."""

import re
from dataclasses import replace

import pandas as pd
import pytest

from hbaf.corpus.readers import iemocap, meld
from hbaf.features.audio.functionals import Functionals
from hbaf.parameters import from_recipe
from hbaf.scoring.purpose import PurposeError, check_purpose
from hbaf.scoring.unscored import mark_unscored
from hbaf.training.package import PackageFacts

FEATURES, MODEL, TRAINING = from_recipe("demo")
FREE = PackageFacts(
    emotions=("joy", "anger"),
    audio_dim=2,
    text_dim=2,
    commonsense_dim=None,
    features=FEATURES,
    model=MODEL,
    training=TRAINING,
    licences={"audio": "Apache-2.0", "text": "Apache-2.0", "corpus": ""},
    commercial=True,
)


def test_commercial_is_for_free_features_and_corpora() -> None:
    check_purpose("commercial", FREE)
    for licences in (
        {"audio": Functionals.licence},
        {"corpus": iemocap.LICENCE},
        {"corpus": meld.LICENCE},
        {"corpus": "GPL-3.0 (transcripts)"},  # in older packages
        {"corpus": "CC BY-NC-SA 4.0"},
        {"text": "unknown: published features"},
    ):
        facts = replace(FREE, licences={**FREE.licences, **licences})
        check_purpose("research", facts)
        with pytest.raises(PurposeError, match=re.escape(next(iter(licences.values())))):
            check_purpose("commercial", facts)


def test_a_turn_without_what_the_model_needs_is_unscored_not_guessed() -> None:
    scores = pd.DataFrame(
        {
            "label": ["joy"] * 4,
            "confidence": [0.9] * 4,
            "p_joy": [0.9] * 4,
            "audio_label": ["joy", None, "joy", None],
            "text_label": ["joy", "joy", None, None],
        }
    )
    marked = mark_unscored(scores, {"audio": True, "text": False})
    assert marked["status"].tolist() == ["scored", "scored", "unscored", "unscored"]
    assert marked["label"].isna().tolist() == marked["p_joy"].isna().tolist() == [False, False, True, True]
    assert marked["unscored_reason"].fillna("").tolist() == [
        "", "", "no text, which this model was not trained to miss", "neither audio nor text",
    ]  # fmt: skip
