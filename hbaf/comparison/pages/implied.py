"""What the paper's text implies (weighted F1, %): its Figure 6 is not readable from the text. Not measured here.

Luo et al., arXiv 2503.06405, as worked out in docs/method.md. Quote as "implied by the paper's text".
"""

CORPORA = ("meld", "iemocap")

# What a row of ours is named -> MELD, IEMOCAP.
BIMODAL: dict[str, tuple[float, float]] = {
    "hbaf": (67.1, 69.6),
    "hbaf-text": (64.8, 64.5),
    "hbaf-no-fusion": (63.5, 63.0),
    "hbaf-no-contrastive": (64.2, 64.2),
}
# The best compared system as the authors re-ran it.
BEST_COMPARED: dict[str, tuple[str, float]] = {"meld": ("telme", 64.9), "iemocap": ("mamba-style", 62.7)}
# Representation -> with the audio context network (MELD, IEMOCAP), without it.
AUDIO_ALONE: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "compare2016": ((41.2, 58.3), (39.8, 56.7)),
    "mfcc": ((34.6, 52.8), (33.5, 51.5)),
    "vggish": ((42.2, 58.5), (42.3, 58.9)),
    "openl3": ((43.5, 59.1), (43.7, 59.3)),
    "wav2vec2": ((47.3, 61.9), (47.6, 62.1)),
    "data2vec-audio": ((37.9, 53.0), (37.8, 52.7)),
}


def implied(corpus: str, system: str, audio: str) -> float | None:
    """The number that the paper's text implies for a row, in per cent; None where it implies none."""
    if corpus not in CORPORA:
        return None
    place = CORPORA.index(corpus)
    named = next((name for name in (audio, audio.removeprefix("imported:")) if name in AUDIO_ALONE), None)
    if system in ("hbaf-audio", "hbaf-audio-no-acn") and named is not None:
        return AUDIO_ALONE[named][system.endswith("no-acn")][place]
    best, value = BEST_COMPARED[corpus]
    if system == best:
        return value
    return BIMODAL[system][place] if system in BIMODAL else None
