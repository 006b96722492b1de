"""The example corpus: conversations written and spoken by the project itself, with a known cross-modal structure.

Every utterance says in `cue` what tells its emotion, and nothing else does:

* `voice`: an everyday statement, said with every emotion alike; pitch, pitch range, rate and loudness tell.
* `words`: what is said tells (a situation, never the emotion's name); the voice is plain, as for neutral.
* `context`: a short reaction that fits anything, in a plain voice; the emotion is that of the turn before, which is
  always another speaker's `words` turn. A first turn is never `context`.

So the words alone cannot solve `voice`, the voice alone cannot solve `words` and `context`, and a single utterance
cannot solve `context`. A few labels are wrong on purpose (`LABEL_NOISE`), as annotators' are.

Words, labels, voices and prosody follow from the seed. No line, no name and no voice variant of one split occurs in
another. The audio is made once and kept in the home folder, for the synthesiser is not reproducible bit by bit.
"""

import hashlib
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from hbaf.corpus.example.lines import TOPICS, LineBank, line_banks
from hbaf.corpus.example.synthesis import SpokenLine, synthesise, synthesiser_missing
from hbaf.corpus.example.voices import Character, casts
from hbaf.corpus.schema import LABEL_SETS, SPLITS, Corpus, CorpusError, Split, as_utterances
from hbaf.home import directory, write_atomically
from hbaf.parameters import CorpusParameters
from hbaf.progress import under_way
from hbaf.waiting import alone

NAME = "example"
EMOTIONS = LABEL_SETS[NAME]
LICENCE = "Apache-2.0"
SPLIT_SHARES: dict[Split, float] = {"dev": 0.15, "test": 0.15}  # train has the rest
TURNS = (6, 12)
SPEAKERS = (2, 4)
LABEL_NOISE = 0.03  # share of labels replaced by another emotion
EMOTION_DECK = ("neutral",) * 6 + tuple(emotion for emotion in EMOTIONS if emotion != "neutral") * 3
# What follows: after a `words` turn a reaction is likely, elsewhere it is impossible.
CUES_AFTER_WORDS = {"context": 0.5, "words": 0.1, "voice": 0.4}
CUES_ELSEWHERE = {"words": 0.5, "voice": 0.5}
TRIES_FOR_A_NEW_LINE = 25

MANIFEST_COLUMNS = ["dialogue", "turn", "speaker", "text", "audio", "emotion", "split", "cue"]


def example_script(seed: int, dialogues: int) -> pd.DataFrame:
    """The words without the sound: what will be said, by whom and how.

    Returns:
        One row per utterance: `corpus`, `dialogue_id`, `turn`, `speaker`, `text`, `audio` (relative path), `emotion`
        (the label), `source_id`, `cue`, `split`, `topic`, `intended` (the emotion before label noise), and the
        synthesis parameters `voice`, `rate`, `volume`, `pitch`, `range`.
    """
    chance = random.Random(f"hbaf example corpus {seed}")
    banks, cast = line_banks(chance), casts(chance)
    writers = {split: _Writer(random.Random(f"{seed} {split}"), banks[split], cast[split]) for split in SPLITS}
    order = _split_order(chance, dialogues)
    rows = [
        {"corpus": NAME, "dialogue_id": dialogue_id, "split": split, **turn}
        for number, split in enumerate(order)
        for dialogue_id in [f"d{number:03d}"]
        for turn in writers[split].dialogue(dialogue_id)
    ]
    return pd.DataFrame(rows)


def read_example(parameters: CorpusParameters, progress: bool = False) -> Corpus:
    """The example corpus; makes what audio is not yet in the home folder, and continues where it was stopped.

    Args:
        parameters: `seed`, `dialogues` and `name` count.
        progress: draw a progress bar while audio is made.

    Raises:
        CorpusError: audio must be made and the synthesiser is absent or fails.
    """
    script = example_script(parameters.seed, parameters.dialogues)
    root = directory("examples", f"seed{parameters.seed}-{parameters.dialogues}-{_script_digest(script)[:10]}")
    # Two makers at once would replace each other's files after one of them was measured.
    with alone(root / ".lock"):
        _make_audio(script, root, progress)
        manifest = script.rename(columns={"dialogue_id": "dialogue"})[MANIFEST_COLUMNS]
        # The manifest comes last: a folder that has one is whole, and reads as a folder corpus of its own.
        if not (root / "manifest.csv").exists():
            write_atomically(root / "manifest.csv", manifest.to_csv(index=False).encode())
    columns = ["corpus", "dialogue_id", "turn", "speaker", "text", "audio", "emotion", "source_id", "cue"]
    name = parameters.name or NAME
    return Corpus(
        name=name,
        root=root,
        utterances=as_utterances(script[columns].assign(corpus=name)),
        splits=script[["dialogue_id", "split"]].drop_duplicates().reset_index(drop=True),
        emotions=EMOTIONS,
        licence=LICENCE,
    )


@dataclass
class _Writer:
    """Writes the dialogues of one split."""

    chance: random.Random
    bank: LineBank
    cast: list[Character]
    _decks: dict[str, list[str]] = field(default_factory=dict)
    _said: set[str] = field(default_factory=set)

    def dialogue(self, dialogue_id: str) -> Iterator[dict[str, object]]:
        topic = self.chance.choice(TOPICS)
        present = self.chance.sample(self.cast, self.chance.randint(*SPEAKERS))
        speaker, cue, intended = None, "", ""
        # The longer of two draws: more turns have a turn before.
        for turn in range(max(self.chance.randint(*TURNS), self.chance.randint(*TURNS))):
            shares = CUES_AFTER_WORDS if cue == "words" else CUES_ELSEWHERE
            cue = self.chance.choices(list(shares), list(shares.values()))[0]
            speaker = self.chance.choice([one for one in present if one is not speaker])
            intended = intended if cue == "context" else self._next_emotion(cue)
            name = f"{turn:02d}"
            yield {
                "turn": turn,
                "speaker": speaker.name,
                "text": self._new_line(cue, topic, intended),
                "audio": f"audio/{dialogue_id}/{name}.wav",
                "emotion": self._annotate(intended),
                "source_id": f"{dialogue_id}_t{name}",
                "cue": cue,
                "topic": topic,
                "intended": intended,
                "voice": speaker.voice,
                **speaker.speak(self.chance, intended if cue == "voice" else "neutral"),
            }

    def _next_emotion(self, cue: str) -> str:
        """Drawn from a shuffled deck for each cue, so that even a small split has every emotion with every cue."""
        deck = self._decks.setdefault(cue, [])
        if not deck:
            deck.extend(self.chance.sample(EMOTION_DECK, len(EMOTION_DECK)))
        return deck.pop()

    def _new_line(self, cue: str, topic: str, emotion: str) -> str:
        for _ in range(TRIES_FOR_A_NEW_LINE):
            if cue == "words":
                line = self.bank.words_line(self.chance, topic, emotion)
            elif cue == "voice":
                line = self.bank.voice_line(self.chance, topic)
            else:
                line = self.bank.context_line(self.chance)
            if line not in self._said:
                break
        self._said.add(line)
        return line

    def _annotate(self, intended: str) -> str:
        if self.chance.random() >= LABEL_NOISE:
            return intended
        return self.chance.choice([emotion for emotion in EMOTIONS if emotion != intended])


def _split_order(chance: random.Random, dialogues: int) -> list[Split]:
    counts = {split: max(1, round(share * dialogues)) for split, share in SPLIT_SHARES.items()}
    rest: list[Split] = ["train"] * (dialogues - sum(counts.values()))
    order = rest + [split for split, count in counts.items() for _ in range(count)]
    return chance.sample(order, len(order))


def _script_digest(script: pd.DataFrame) -> str:
    return hashlib.sha256(script.to_csv(index=False).encode()).hexdigest()


def _make_audio(script: pd.DataFrame, root: Path, progress: bool) -> None:
    missing = [
        SpokenLine(wav, _plainly(row["text"]), row["voice"], row["rate"], row["volume"], row["pitch"], row["range"])
        for row in script.to_dict("records")
        if not (wav := root / row["audio"]).exists()
    ]
    if not missing:
        return
    reason = synthesiser_missing()
    if reason is not None:
        raise CorpusError(f"the example corpus cannot be made, {len(missing)} files are missing: {reason}")
    for folder in {line.wav.parent for line in missing}:
        folder.mkdir(parents=True, exist_ok=True)
    processes = min(4, os.cpu_count() or 1)
    if not progress:
        synthesise(missing, processes)
        return
    with under_way("speaking the example corpus", len(missing), shown=True) as advance:
        synthesise(missing, processes, lambda _path: advance())


def _plainly(text: str) -> str:
    """The line without exclamation marks: the synthesiser would raise its voice and tell what only words shall tell."""
    return text.replace("!", ".")
