"""What is used of transformers that it does not document, as seen in transformers 5.23.0; nobody else touches it."""

from typing import Any

SEEN_IN = "5.23.0"


def model_class(config: Any) -> Any:
    """The class, or one of the classes, that `AutoModel` would build for a configuration."""
    from transformers import AutoModel

    kind: Any = AutoModel._model_mapping[type(config)]
    return kind


def frame_counts(model: Any, samples: Any) -> Any:
    """How many frames a speech model makes of that many samples, elementwise."""
    return model._get_feat_extract_output_lengths(samples)


def freeze_front_end(model: Any) -> None:
    """Holds the convolutional front end of a speech model still, as everybody does in fine-tuning."""
    model.feature_extractor._freeze_parameters()
