"""HBAF's ablations and decisions by name (docs/method.md): what each changes in `ModelParameters`."""

from typing import Any

MODALITIES: dict[str, dict[str, Any]] = {
    "hbaf-audio": {"variant": "audio"},
    "hbaf-text": {"variant": "text"},
}

# Table 2. Each takes out what its name says, and the parts that nobody uses then are not built.
ABLATIONS: dict[str, dict[str, Any]] = {
    "hbaf-no-acn": {"audio_context": False},
    "hbaf-no-fusion": {"fusion": False},
    "hbaf-no-bimodal-attention": {"bimodal_attention": False},
    "hbaf-no-gate": {"gate": False},
    "hbaf-no-residual": {"residual": False},
    "hbaf-no-contrastive": {"mu": 0.0},
}

# The readings of what the paper leaves open; plain `hbaf` has the recipe's reading of each.
DECISIONS: dict[str, dict[str, Any]] = {
    "hbaf-literal": {"cross_direction": "literal"},
    "hbaf-crossed": {"cross_direction": "crossed"},
    "hbaf-query-context": {"context_attention": "query"},
    "hbaf-scalar-context": {"context_attention": "scalar"},
    "hbaf-elementwise-context": {"context_attention": "elementwise"},
    "hbaf-projection": {"fused_view": "projection"},
    "hbaf-zero-pad": {"fused_view": "zero_pad"},
    "hbaf-tile": {"fused_view": "tile"},
    "hbaf-equation-anchor": {"anchor": "equation"},
    "hbaf-prose-anchor": {"anchor": "prose"},
    "hbaf-no-current-utterance": {"current_utterance": False},
}

# What the contrastive loss is made of, a term at a time.
CONTRAST: dict[str, dict[str, Any]] = {
    "hbaf-no-audio-fused-contrast": {"lambda1": 0.0},
    "hbaf-no-text-fused-contrast": {"lambda2": 0.0},
    "hbaf-no-audio-text-contrast": {"lambda3": 0.0},
}

# Figure 6's left half: one modality, with and without its context network.
AUDIO_ALONE: dict[str, dict[str, Any]] = {
    "hbaf-audio": {"variant": "audio"},
    "hbaf-audio-no-acn": {"variant": "audio", "audio_context": False},
}

VARIANTS: dict[str, dict[str, Any]] = {
    "hbaf": {},
    **MODALITIES,
    **AUDIO_ALONE,
    **ABLATIONS,
    **DECISIONS,
    **CONTRAST,
}
