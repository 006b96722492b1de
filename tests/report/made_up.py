"""Scores that a plausible model could have given to a made-up quarrel, with and without what could do harm."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from hbaf.report.pages import write_report

EMOTIONS = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
PROVENANCE = {"corpus digest": "4f0c9e21ab77", "model package": "hbaf 3", "commit": "0000000", "purpose": "research"}
INJECTIONS = (
    "<script>window.injected=1</script>",
    '"><img src=x onerror="window.injected=1">',
    "'><svg onload=window.injected=1>",
    "</script><script>window.injected=1</script>",
    "<!--<script>",
    "javascript:window.injected=1",
    "{{ 7 * 7 }}",
    "../../../etc/passwd",
    "\u202egnp.exe\u2028\x00",
)

# (speaker, words, what a good model says): a made-up quarrel about a lost key, and its end.
SCENE = (
    ("Mara", "Did you lock the studio when you left yesterday?", "neutral"),
    ("Tomasz", "I think so. Why?", "neutral"),
    ("Mara", "Because it was wide open this morning, and the cello is gone.", "anger"),
    ("Tomasz", "Gone? What do you mean, gone?", "surprise"),
    ("Mara", "I mean that there is an empty stand where it used to be!", "anger"),
    ("Tomasz", "Oh no. No, no, no. That was your grandmother's.", "sadness"),
    ("Mara", "Yes. It was.", "sadness"),
    ("Tomasz", "I am so sorry. I was on the phone with my sister and I ran for the last tram.", "sadness"),
    ("Mara", "You always run for the last tram, and somebody else always pays for it.", "anger"),
    ("Ines", "Hello, you two! Why do you look as if somebody had died?", "joy"),
    ("Tomasz", "The cello was stolen. And it is my fault.", "fear"),
    ("Ines", "Stolen? It is in the workshop. I took it there at eight, the bridge was about to snap.", "surprise"),
    ("Mara", "You did what?", "surprise"),
    ("Ines", "I left a note on the stand. A yellow one. With a drawing of a very sad cello.", "neutral"),
    ("Tomasz", "Hm.", "neutral"),
    ("Mara", "There was no note. Just half a sandwich that smelled like a wet dog.", "disgust"),
    ("Ines", "Then somebody has eaten around my note.", "joy"),
    ("Tomasz", "I have not stolen anything! I have not lost anything! This is the best Tuesday of my life!", "joy"),
    ("Mara", "You still did not lock the door.", "neutral"),
    ("Tomasz", "I still did not lock the door.", "joy"),
)


def fake_scores(
    conversations: int = 3, turns: int = len(SCENE), *, seed: int = 0, labelled: bool = True
) -> pd.DataFrame:
    """Scores of a plausible model on the scene above, begun at another line in every conversation."""
    random = np.random.default_rng(seed)
    rows = []
    for dialogue in range(conversations):
        time = 0.0
        for turn in range(turns):
            speaker, words, emotion = SCENE[(turn + 7 * dialogue) % len(SCENE)]
            logits = random.normal(0, 1.0, len(EMOTIONS)) + 3.0 * (np.array(EMOTIONS) == emotion)
            p = np.exp(logits) / np.exp(logits).sum()
            alone = {}
            for modality, weight in (("audio", 1.2), ("text", 2.4)):
                guess = np.exp(random.normal(0, 1.0, len(EMOTIONS)) + weight * (np.array(EMOTIONS) == emotion))
                guess /= guess.sum()
                alone |= {f"{modality}_label": EMOTIONS[guess.argmax()], f"{modality}_confidence": guess.max()}
            seconds = round(0.4 + 0.07 * len(words) + random.uniform(0, 1), 2)
            lacks_text, lacks_audio = words == "Hm.", speaker == "Ines" and "workshop" in words
            if lacks_text:
                alone["text_label"] = alone["text_confidence"] = None
            if lacks_audio:
                alone["audio_label"] = alone["audio_confidence"] = None
            rows.append(
                {
                    "utterance_id": f"talks/dia{dialogue}/{turn}",
                    "corpus": "talks",
                    "dialogue_id": f"dia{dialogue}",
                    "turn": turn,
                    "speaker": speaker,
                    "text": None if lacks_text else words,
                    "audio": None if lacks_audio else f"audio/dia{dialogue}.wav",
                    "start": round(time, 2),
                    "end": round(time + seconds, 2),
                    "seconds": seconds,
                    "emotion": emotion if labelled else None,
                    "text_problem": "no word was recognised" if lacks_text else None,
                    "audio_problem": "the clip is not in the release" if lacks_audio else None,
                    "label": EMOTIONS[p.argmax()],
                    "confidence": p.max(),
                    **{f"p_{name}": value for name, value in zip(EMOTIONS, p, strict=True)},
                    **alone,
                    "gate_audio": random.uniform(0.3, 0.7),
                    "gate_text": random.uniform(0.5, 0.9),
                    "attention": json.dumps({str(other): 0.3 for other in (turn - 1, turn + 1) if 0 <= other < turns}),
                    "model_version": "hbaf/7",
                }
            )
            time += seconds + 0.3
    return pd.DataFrame(rows)


def write(scores: pd.DataFrame, folder: Path, **changed) -> Path:
    settings = {"title": "Evening talks", "corpus_root": None, "emotions": EMOTIONS, "provenance": PROVENANCE} | changed
    return write_report(scores, folder, **settings)


def pages_of(folder: Path) -> list[Path]:
    return sorted((folder / "conversations").glob("*.html"))


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def poisoned(text: str) -> pd.DataFrame:
    scores = fake_scores(2, 4)
    for column in ("corpus", "dialogue_id", "speaker", "text", "audio", "emotion", "text_problem", "audio_problem"):
        scores[column] = text
    scores["turn"] = range(len(scores))
    scores["utterance_id"] = [f"{text}/{turn}" for turn in scores["turn"]]
    for column in ("label", "audio_label", "text_label", "model_version"):
        scores[column] = text
    return scores.rename(columns={"p_joy": f"p_{text}"})
