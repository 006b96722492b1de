"""The words of the example corpus: ambiguous lines, reactions, slot fillers, and which split may say which line.

Three kinds of line, one per cue:

* situations (`cue` "words"): what is said tells the emotion; the banks are in `example_situations_*.py`.
* statements ("voice"): everyday information, said with every emotion alike.
* reactions ("context"): short answers that fit good and bad news alike.

A template belongs to one split only, so no line of the test split occurs in train.
"""

import random
import re
from dataclasses import dataclass

from hbaf.corpus.example.situations_home import SITUATIONS_HOME
from hbaf.corpus.example.situations_out import SITUATIONS_OUT
from hbaf.corpus.schema import SPLITS, Split

SITUATIONS: dict[str, dict[str, tuple[str, ...]]] = {**SITUATIONS_OUT, **SITUATIONS_HOME}
TOPICS = tuple(SITUATIONS)

FILLERS: dict[str, tuple[str, ...]] = {
    "mate": ("Nora", "Felix", "Priya", "Oscar", "Lena", "Tom", "Irina", "Hassan", "Clara", "Ben", "Yuki", "Marta"),
    "relative": ("my sister", "my brother", "my cousin", "my aunt", "my uncle", "my nephew", "my niece", "my mother"),
    "boss": ("the manager", "our director", "the team lead", "the supervisor", "the head of sales", "our boss"),
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "time": ("this morning", "last night", "yesterday", "an hour ago", "at the weekend", "today", "last week"),
    "hour": ("six", "seven", "half past seven", "eight", "nine", "half past nine", "ten", "eleven"),
    "number": ("two", "three", "four", "five", "six", "seven", "eight", "nine", "twelve"),
    "ordinal": ("second", "third", "fourth", "fifth", "sixth"),
    "month": ("January", "March", "April", "May", "June", "August", "September", "October", "November"),
    "city": ("Lisbon", "Vienna", "Dublin", "Oslo", "Seville", "Prague", "Bergen", "Naples", "Ghent", "Porto"),
    "papers": ("reports", "invoices", "letters", "drawings", "plans", "contracts", "forms"),
    "place": ("shelf", "table", "counter", "bench", "window sill", "desk"),
    "thing": ("bag", "box", "book", "bottle", "coat", "umbrella", "newspaper", "blanket", "map", "cup"),
    "colour": ("blue", "green", "grey", "brown", "white", "yellow", "black"),
}

STATEMENTS: dict[str, tuple[str, ...]] = {
    "work": (
        "{Mate} put the {papers} on the {place}.",
        "They want the {papers} by {day}.",
        "The {colour} folder is for the {papers}.",
        "{Boss} called at {hour} about the {papers}.",
        "I'm at the desk next to {mate} from {day}.",
        "We have the room until {hour} on {day}.",
        "{Mate} and {boss} are talking about the {papers}.",
        "There are {number} of us in the office on {day}.",
    ),
    "travel": (
        "We're going to {city} with {mate} on {day}.",
        "The {colour} {thing} is on the back seat.",
        "It's {number} stops from here to {city}.",
        "{Mate} bought the tickets to {city}.",
        "The people from {city} arrive at {hour}.",
        "They gave us the room with the {colour} door.",
        "I have the {thing} and the {colour} suitcase with me.",
        "We'll be in {city} by {hour}.",
    ),
    "sport": (
        "{Mate} is playing on {day} at {hour}.",
        "They're wearing the {colour} shirts in {month}.",
        "The {colour} {thing} belongs to the coach.",
        "It's us against the team from {city}.",
        "{Mate} ran {number} rounds with me.",
        "We meet {mate} at the gate at {hour}.",
        "The score was {number} to {number2} at the break.",
        "They changed the {colour} floor of the gym.",
    ),
    "family": (
        "{Relative} is coming over at {hour}.",
        "{Relative} and {mate} are in the kitchen.",
        "That's the {colour} {thing} from {relative}.",
        "We'll see {relative} in {month}.",
        "{Relative} wants to talk to you about {day}.",
        "{Mate} brought the {colour} {thing} for {relative}.",
        "They named the cat after {relative}.",
        "{Relative} has moved the {thing} to the {place}.",
    ),
    "health": (
        "The doctor wrote {number} words on the {colour} card.",
        "{Mate} is at the clinic until {hour}.",
        "They put the {colour} bottle on the {place}.",
        "{Relative} has the appointment on {day}.",
        "I've stopped drinking coffee since {month}.",
        "The nurse called at {hour} and asked for {relative}.",
        "It's the {colour} pills with the {thing}.",
        "They weighed me {number} times on {day}.",
    ),
    "house": (
        "The {thing} is on the {place} by the door.",
        "{Mate} painted the wall {colour}.",
        "There's a {colour} {thing} in front of the house.",
        "{Mate} moved the {place} to the {ordinal} room.",
        "They're coming about the roof at {hour}.",
        "You left the {colour} {thing} in the garden.",
        "The neighbours have a {colour} car now.",
        "It's the {thing} that was on the {place}.",
    ),
}

# Said after a situation, where the line stays short enough; the only words that all splits share.
TAILS: dict[str, tuple[str, ...]] = {
    "neutral": (
        "That's the usual way.",
        "It's the same as last time.",
        "It's on the list.",
        "You can look it up.",
        "Just so that you know.",
        "That's what the plan says.",
        "The details are on the sheet.",
        "It takes a few minutes.",
        "I wrote it down.",
    ),
    "joy": (
        "I could hug the whole world!",
        "It's simply wonderful!",
        "I can't stop smiling!",
        "Isn't that lovely?",
        "Life is so good!",
        "Let's celebrate!",
        "I'm on top of the world!",
        "What a beautiful day!",
        "It was the best moment ever!",
    ),
    "anger": (
        "How dare they!",
        "That's an outrage!",
        "I won't put up with it!",
        "My blood is boiling.",
        "What an insolence!",
        "They'll pay for that!",
        "I could smash something!",
        "I've had enough of them!",
        "It's a damned disgrace!",
    ),
    "sadness": (
        "It breaks my heart.",
        "I can't stop crying.",
        "It'll never be the same.",
        "I feel so empty.",
        "It hurts so much.",
        "I miss those days.",
        "I cried all night.",
        "All hope is gone.",
        "I feel so alone now.",
    ),
    "fear": (
        "I'm trembling all over.",
        "What shall we do?",
        "I don't dare to move.",
        "Please, help me!",
        "I'm dreading the worst.",
        "My heart is pounding.",
        "We may be in danger!",
        "I daren't think what comes next.",
        "I can hardly breathe.",
    ),
    "surprise": (
        "Can you believe it?",
        "I never expected that!",
        "Who would have thought!",
        "What are the odds?",
        "I couldn't believe my eyes!",
        "It came out of nowhere!",
        "Nobody saw it coming!",
        "My jaw dropped!",
        "How on earth is that possible?",
    ),
}
TAIL_SHARE = 0.9
LONGEST_LINE = 20  # words

OPENERS = ("Oh.", "Well.", "Right.", "Okay.", "Hm.", "I see.", "So.", "Ah.", "Yes.", "Wait.", "Mm.", "Look.")
REACTIONS = (
    "So that's what happened.",
    "And you only tell me now.",
    "I didn't know about that.",
    "Is that really so?",
    "Give me a moment with that.",
    "I have to let that sink in.",
    "And that's certain, is it?",
    "What do you say to that?",
    "I don't know what to say.",
    "That's how it is, then.",
    "Say that once more.",
    "And there's no mistake?",
    "You mean it, don't you?",
    "I'll remember this day.",
    "So it has come to this.",
    "That's quite something.",
    "Does anyone else know?",
    "I need to sit down for that.",
    "Who would have told me otherwise?",
    "Now I understand your face.",
    "That changes things.",
    "What else did they tell you?",
    "I can't think of anything else now.",
    "So this is it.",
    "You should have seen me just now.",
    "That's what it's like, then.",
    "And how long have you known?",
    "We'll talk about this at home.",
    "It had to be this week.",
    "Tell me the whole of it.",
)


@dataclass(frozen=True)
class LineBank:
    """The templates that one split may use.

    Attributes:
        situations: topic -> emotion -> templates.
        statements: topic -> templates.
        reactions: whole lines, spoken after an opener.
    """

    situations: dict[str, dict[str, tuple[str, ...]]]
    statements: dict[str, tuple[str, ...]]
    reactions: tuple[str, ...]

    def words_line(self, chance: random.Random, topic: str, emotion: str) -> str:
        line = fill(chance, chance.choice(self.situations[topic][emotion]))
        tail = chance.choice(TAILS[emotion])
        fits = len(line.split()) + len(tail.split()) <= LONGEST_LINE
        return f"{line} {tail}" if fits and chance.random() < TAIL_SHARE else line

    def voice_line(self, chance: random.Random, topic: str) -> str:
        return fill(chance, chance.choice(self.statements[topic]))

    def context_line(self, chance: random.Random) -> str:
        return f"{chance.choice(OPENERS)} {chance.choice(self.reactions)}"


def line_banks(chance: random.Random) -> dict[Split, LineBank]:
    """Deals every list of templates out to the splits: about two thirds, a sixth, a sixth of each list."""
    situations = {
        topic: {emotion: deal(chance, lines) for emotion, lines in by_emotion.items()}
        for topic, by_emotion in SITUATIONS.items()
    }
    statements = {topic: deal(chance, lines) for topic, lines in STATEMENTS.items()}
    reactions = deal(chance, REACTIONS)
    return {
        split: LineBank(
            {topic: {emotion: dealt[split] for emotion, dealt in cells.items()} for topic, cells in situations.items()},
            {topic: dealt[split] for topic, dealt in statements.items()},
            reactions[split],
        )
        for split in SPLITS
    }


def deal(chance: random.Random, items: tuple[str, ...]) -> dict[Split, tuple[str, ...]]:
    """Shuffles and parts `items` (three at least): a sixth each, one at least, for dev and test, the rest for train."""
    shuffled = chance.sample(items, len(items))
    sixth = max(1, round(len(items) / 6))
    return {
        "test": tuple(shuffled[:sixth]),
        "dev": tuple(shuffled[sixth : 2 * sixth]),
        "train": tuple(shuffled[2 * sixth :]),
    }


def fill(chance: random.Random, template: str) -> str:
    """Fills `{slots}`; a capital slot begins a sentence; `{day2}` differs from `{day}`, `{number2}` from `{number}`."""
    used: list[str] = []

    def word(match: re.Match[str]) -> str:
        slot = match.group(1)
        bank = FILLERS[slot.lower().rstrip("2")]
        chosen = chance.choice([item for item in bank if item not in used])
        used.append(chosen)
        return chosen[0].upper() + chosen[1:] if slot[0].isupper() else chosen

    return re.sub(r"\{(\w+)\}", word, template)
