"""Whether a model's word on a turn stays when the conversation goes on."""

from hbaf.training.package import PackageFacts

CAUSAL = (
    "model.text_direction=causal", "model.audio_context=false", "model.bimodal_attention=false",
    "features.speaker_relative=none", "training.label_chain=causal",
)  # fmt: skip


def reads_later_turns(facts: PackageFacts) -> tuple[str, ...]:
    """The settings by which what a model says of a turn depends on later ones, as `model.audio_context=true`.

    Empty for a causal model: turn by turn it says what it says of the whole conversation. The audio context network
    and the bimodal attention read whole conversations whatever `model.text_direction` is.
    """
    model = facts.model
    reads = {
        "model.text_direction=both": model.variant != "audio" and model.text_direction == "both",
        "model.audio_context=true": model.variant != "text" and model.audio_context,
        "model.bimodal_attention=true": model.fusion and model.bimodal_attention,
        "features.speaker_relative=both": facts.features.speaker_relative == "both",
        "training.label_chain=both": facts.training.label_chain == "both",
    }
    return tuple(setting for setting, later in reads.items() if later)
