"""The voices of the example corpus and how each emotion sounds.

A voice is an accent and a variant of the synthesiser. A variant belongs to one split only, so a test voice is never
heard in train, not even with another accent.
"""

import random
from dataclasses import dataclass

from hbaf.corpus.example.lines import deal
from hbaf.corpus.schema import SPLITS, Split

ACCENTS = ("en-us", "en-029", "en-gb-scotland", "en-gb-x-rp", "en-us-nyc", "en-gb-x-gbcwmd")
# Variant -> level in dB relative to full scale at volume 100, measured; without levelling a loud voice sounds angry.
# Left out: variants that ignore pitch, are very quiet, are robots or whispers.
LOW_VARIANTS = {
    "m1": -22, "m2": -22, "m3": -21, "m4": -21, "m6": -21, "m7": -20,
    "Andy": -18, "Gene": -17, "john": -16, "norbert": -17, "pablo": -18, "travis": -19,
}  # fmt: skip
HIGH_VARIANTS = {
    "f1": -19, "f2": -19, "f3": -20, "f4": -19, "f5": -21, "Alicia": -20,
    "Andrea": -16, "Annie": -20, "anika": -19, "belinda": -18, "shelby": -20, "steph": -20,
}  # fmt: skip
COMMON_LEVEL = -20  # dB
LOW_NAMES = (
    "Adam", "Bruno", "Carl", "David", "Emil", "Frank", "George", "Hugo", "Ivan", "Jonas", "Karim", "Liam",
    "Marco", "Niels", "Omar", "Pablo", "Ravi", "Simon", "Theo", "Viktor",
)  # fmt: skip
HIGH_NAMES = (
    "Alice", "Berta", "Carmen", "Diana", "Elif", "Fiona", "Grace", "Hanna", "Ines", "Julia", "Karin", "Lucia",
    "Mina", "Nadia", "Olga", "Paula", "Rosa", "Sofia", "Tessa", "Vera",
)  # fmt: skip


@dataclass(frozen=True)
class Prosody:
    """How a line is spoken, in the synthesiser's own units (`hbaf.corpus.example.synthesis.SpokenLine`)."""

    pitch: float
    range: float
    rate: float
    volume: float


# Around the voice's own base. Each emotion differs from every other one in at least two of the four, because pitch
# alone says more of the speaker than of the emotion.
PROSODY: dict[str, Prosody] = {
    "neutral": Prosody(pitch=45, range=40, rate=170, volume=62),
    "joy": Prosody(pitch=84, range=95, rate=214, volume=96),
    "anger": Prosody(pitch=22, range=60, rate=262, volume=145),
    "sadness": Prosody(pitch=20, range=6, rate=112, volume=26),
    "fear": Prosody(pitch=86, range=8, rate=260, volume=32),
    "surprise": Prosody(pitch=94, range=97, rate=118, volume=84),
}
# Standard deviations from line to line; volume is a factor.
LINE_SPREAD = Prosody(pitch=4, range=5, rate=8, volume=0.07)
SPEAKER_SPREAD = Prosody(pitch=3, range=4, rate=6, volume=0.06)


@dataclass(frozen=True)
class Character:
    """Somebody who speaks in the example corpus: a name, a voice, and an own way with it.

    `pitch`, `range` and `rate` are added to what an emotion asks for, `volume` is a factor.
    """

    name: str
    voice: str
    pitch: float
    range: float
    rate: float
    volume: float

    def speak(self, chance: random.Random, emotion: str) -> dict[str, int]:
        """Synthesis parameters of one line spoken with an emotion, inside the synthesiser's bounds."""
        target = PROSODY[emotion]
        return {
            "rate": _bounded(target.rate + self.rate + chance.gauss(0, LINE_SPREAD.rate), 90, 300),
            "volume": _bounded(target.volume * self.volume * (1 + chance.gauss(0, LINE_SPREAD.volume)), 12, 195),
            "pitch": _bounded(target.pitch + self.pitch + chance.gauss(0, LINE_SPREAD.pitch), 5, 99),
            "range": _bounded(target.range + self.range + chance.gauss(0, LINE_SPREAD.range), 0, 99),
        }


def casts(chance: random.Random) -> dict[Split, list[Character]]:
    """Who may speak in each split: names and voice variants of one split occur in no other."""
    low, high = deal(chance, tuple(LOW_VARIANTS)), deal(chance, tuple(HIGH_VARIANTS))
    low_names, high_names = deal(chance, LOW_NAMES), deal(chance, HIGH_NAMES)
    return {
        split: [
            *_characters(chance, low_names[split], low[split]),
            *_characters(chance, high_names[split], high[split]),
        ]
        for split in SPLITS
    }


def _characters(chance: random.Random, names: tuple[str, ...], variants: tuple[str, ...]) -> list[Character]:
    accents = chance.sample(ACCENTS, len(ACCENTS))
    characters = []
    for index, name in enumerate(names):
        accent, variant = accents[index % len(accents)], variants[index % len(variants)]
        level = LOW_VARIANTS.get(variant) or HIGH_VARIANTS[variant]
        characters.append(
            Character(
                name=name,
                voice=f"{accent}+{variant}",
                pitch=chance.gauss(0, SPEAKER_SPREAD.pitch),
                range=chance.gauss(0, SPEAKER_SPREAD.range),
                rate=chance.gauss(0, SPEAKER_SPREAD.rate),
                volume=10 ** ((COMMON_LEVEL - level) / 20) * (1 + chance.gauss(0, SPEAKER_SPREAD.volume)),
            )
        )
    return characters


def _bounded(value: float, lowest: int, highest: int) -> int:
    return round(min(max(value, lowest), highest))
