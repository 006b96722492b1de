"""Labels of a source -> emotions of a corpus: `corpus.labels`, as pairs and as known maps between label sets.

happy=joy, excited=joy, xxx=           # xxx becomes unlabelled; what is not named stays as it is
go_emotions:ekman, caring=neutral      # a known map; a pair beside it counts before it
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pandas as pd

from hbaf.corpus.schema import LABEL_SETS, Corpus, CorpusError, is_missing
from hbaf.corpus.text.manifest_values import shown
from hbaf.parameters import CorpusParameters
from hbaf.settings import did_you_mean

# Every known set by Ekman's six emotions and neutral, which MELD's labels are too; "" has no counterpart there.
_EKMAN = {emotion: emotion for emotion in LABEL_SETS["meld"]}
_TO_EKMAN: dict[str, dict[str, str]] = {
    "ekman": _EKMAN,
    "meld": _EKMAN,
    "iemocap4": {"happy": "joy", "sad": "sadness", "neutral": "neutral", "angry": "anger"},
    "iemocap6": {
        "happy": "joy", "sad": "sadness", "neutral": "neutral", "angry": "anger", "excited": "joy", "frustrated": "",
    },
    # The grouping that was published with GoEmotions (Demszky et al., 2020); `neutral` stands by itself.
    "go_emotions": {
        label: emotion
        for emotion, labels in {
            "anger": "anger annoyance disapproval",
            "disgust": "disgust",
            "fear": "fear nervousness",
            "joy": "joy amusement approval excitement gratitude love optimism relief pride admiration desire caring",
            "sadness": "sadness disappointment embarrassment grief remorse",
            "surprise": "surprise realization confusion curiosity",
            "neutral": "neutral",
        }.items()
        for label in labels.split()
    },
}  # fmt: skip
_TARGETS: dict[str, dict[str, str]] = {
    "ekman": _EKMAN,
    "meld": _EKMAN,
    "iemocap4": {"joy": "happy", "sadness": "sad", "neutral": "neutral", "anger": "angry"},
}
KNOWN: dict[str, dict[str, str]] = {
    f"{source}:{target}": {label: names.get(emotion, "") for label, emotion in labels.items()}
    for source, labels in _TO_EKMAN.items()
    for target, names in _TARGETS.items()
    if labels is not _TO_EKMAN[target]
}


class LabelMap:
    """What `corpus.labels` makes of the labels of a source; counts which ones came.

    Attributes:
        targets: label, as `plain_label` writes it -> emotion, "" for none.
    """

    def __init__(self, parameters: CorpusParameters) -> None:
        """Reads the setting.

        Raises:
            CorpusError: it is not understood, names a label twice, or an emotion outside `corpus.emotions`.
        """
        pairs, names = _parts(parameters.labels)
        known: dict[str, str] = {}
        for name in names:
            if name not in KNOWN:
                raise CorpusError(
                    f"corpus.labels: {shown(name)} is neither LABEL=EMOTION nor a known map. There are: "
                    f"{', '.join(KNOWN)}.{did_you_mean(name, list(KNOWN))}"
                )
            _add(known, KNOWN[name].items())
        self._pairs: dict[str, str] = {}
        _add(self._pairs, pairs)
        self.targets = known | self._pairs
        self._came: Counter[str] = Counter()
        emotions = [plain_label(emotion) for emotion in parameters.emotions]
        for label, emotion in self.targets.items():
            if emotions and emotion and emotion not in emotions:
                raise CorpusError(
                    f"corpus.labels: {shown(label)} becomes {shown(emotion)}, which is none of `corpus.emotions` "
                    f"({', '.join(emotions)}). Correct it, add it there, or write `{label}=` for no label."
                )

    def __call__(self, written: str) -> str:
        """The emotion of a label, "" for none; a label that the setting does not name, in plain spelling."""
        label = plain_label(written)
        if label not in self.targets:
            return label
        self._came[label] += 1
        return self.targets[label]

    def of_set(self, emotions: Iterable[str]) -> tuple[str, ...]:
        """A label set as the map leaves it, in its order."""
        mapped = (self.targets.get(emotion, emotion) for emotion in emotions)
        return tuple(dict.fromkeys(emotion for emotion in mapped if emotion))

    def notes(self) -> list[str]:
        """What was mapped, with the number of rows, and which pairs no row asked for."""
        became: dict[str, list[str]] = {}
        for label, count in sorted(self._came.items()):
            if self.targets[label] != label:
                became.setdefault(self.targets[label], []).append(f"{label} {count}")
        lines = [f"labels that became {emotion or 'no label'}: {', '.join(of)}" for emotion, of in became.items()]
        if absent := [label for label in self._pairs if label not in self._came]:
            lines.append(f"`corpus.labels` names {', '.join(map(shown, absent))}, which no row has")
        return lines


def with_labels(corpus: Corpus, labels: LabelMap) -> Corpus:
    """A corpus that was read without the map, with it."""
    emotion = [None if is_missing(label) else labels(str(label)) or None for label in corpus.utterances["emotion"]]
    utterances = corpus.utterances.assign(emotion=pd.Series(emotion, corpus.utterances.index, dtype="str"))
    return noted(replace(corpus, utterances=utterances, emotions=labels.of_set(corpus.emotions)), labels)


def noted(corpus: Corpus, labels: LabelMap) -> Corpus:
    """The corpus with the map as a part of its identity, and what it did among the notes."""
    return replace(corpus, labels=labels.targets, notes=(*corpus.notes, *labels.notes()))


def plain_label(label: str) -> str:
    """One spelling of a label: lower case, single blanks, composed letters."""
    return unicodedata.normalize("NFC", " ".join(label.split())).lower()


def _parts(setting: str | Mapping[str, str]) -> tuple[list[tuple[str, str]], list[str]]:
    """The pairs of a setting, and its names of known maps."""
    if not isinstance(setting, str):
        return list(setting.items()), []
    parts = [part.strip() for part in setting.split(",") if part.strip()]
    pairs = [(label, emotion) for label, equals, emotion in (part.partition("=") for part in parts) if equals]
    return pairs, [part for part in parts if "=" not in part]


def _add(targets: dict[str, str], pairs: Iterable[tuple[str, str]]) -> None:
    for written, target in pairs:
        label, emotion = plain_label(written), plain_label(target)
        if not label:
            raise CorpusError(f"corpus.labels: no label before `={emotion}`. Write LABEL=EMOTION, as `happy=joy`.")
        if targets.setdefault(label, emotion) != emotion:
            raise CorpusError(
                f"corpus.labels: {shown(label)} becomes {shown(targets[label])} and {shown(emotion)}. Keep one."
            )
