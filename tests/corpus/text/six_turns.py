"""One conversation of six turns in the forms that recognisers, annotators and caption programs write."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple


class Said(NamedTuple):
    """A turn; times in seconds."""

    who: int
    start: float
    end: float
    text: str


TURNS = (
    Said(0, 0.4, 2.245, "Good morning, how can I help you?"),
    Said(1, 2.545, 3.757, "My phone is broken again."),
    Said(0, 4.057, 5.548, "I am so sorry to hear that."),
    Said(1, 5.848, 7.119, "I am really very angry now."),
    Said(0, 7.419, 8.752, "We will send you a new one."),
    Said(1, 9.053, 10.934, "Oh, that is wonderful, thank you."),
)


def clock(time: float, comma: str = ".") -> str:
    """`00:00:01.500`."""
    whole = round(time * 1000)
    return f"{whole // 3_600_000:02}:{whole // 60_000 % 60:02}:{whole // 1000 % 60:02}{comma}{whole % 1000:03}"


def words(turn: Said) -> Iterator[tuple[str, float, float]]:
    """(word, start, end) of the words of a turn, one after the other."""
    parts = turn.text.split()
    step = (turn.end - turn.start) / len(parts)
    for place, part in enumerate(parts):
        yield part, round(turn.start + place * step, 3), round(turn.start + (place + 1) * step, 3)


def all_words() -> Iterator[tuple[Said, str, float, float]]:
    for turn in TURNS:
        for word, start, end in words(turn):
            yield turn, word, start, end


def vtt(payloads: list[str], head: str = "WEBVTT\n\n", arrow: str = " --> ") -> str:
    cues = [
        f"{clock(turn.start)}{arrow}{clock(turn.end)}\n{said}\n" for turn, said in zip(TURNS, payloads, strict=True)
    ]
    return head + "\n".join(cues)


def srt(payloads: list[str], arrow: str = " --> ") -> str:
    cues = [
        f"{number}\n{clock(turn.start, ',')}{arrow}{clock(turn.end, ',')}\n{said}\n"
        for number, (turn, said) in enumerate(zip(TURNS, payloads, strict=True), start=1)
    ]
    return "\n".join(cues)


def each(pattern: str, names: tuple[str, str] = ("Ann", "Bob")) -> list[str]:
    """A payload for each turn: `{who}: {text}` with the names."""
    return [pattern.format(who=names[turn.who], text=turn.text) for turn in TURNS]


def spoken_punctuation(turn: Said) -> Iterator[tuple[str, float | None, float | None]]:
    """As `words`, with each sign on its own and without times."""
    for word, start, end in words(turn):
        bare = word.rstrip(",.?")
        yield bare, start, end
        if word != bare:
            yield word[len(bare) :], None, None


def aws() -> Any:
    items = []
    for turn in TURNS:
        for said, start, end in spoken_punctuation(turn):
            one: dict[str, Any] = {"alternatives": [{"content": said}], "speaker_label": f"spk_{turn.who}"}
            if start is None:
                items.append({**one, "type": "punctuation"})
            else:
                items.append({**one, "type": "pronunciation", "start_time": str(start), "end_time": str(end)})
    return {"jobName": "j", "results": {"transcripts": [], "items": items}}


def rev() -> Any:
    monologues = []
    for turn in TURNS:
        elements: list[dict[str, Any]] = []
        for said, start, end in spoken_punctuation(turn):
            if start is None:
                elements.append({"type": "punct", "value": said})
            else:
                elements += [{"type": "punct", "value": " "}] if elements else []
                elements.append({"type": "text", "value": said, "ts": start, "end_ts": end, "confidence": 0.9})
        monologues.append({"speaker": turn.who, "elements": elements})
    return {"monologues": monologues}


def speechmatics() -> Any:
    results = []
    for turn in TURNS:
        for said, start, end in spoken_punctuation(turn):
            one = {"alternatives": [{"content": said, "speaker": f"S{turn.who + 1}"}]}
            kind = "punctuation" if start is None else "word"
            results.append({**one, "type": kind, "start_time": start or turn.end, "end_time": end or turn.end})
    return {"format": "2.9", "metadata": {}, "results": results}


def google(version: int = 1) -> Any:
    names = ("startTime", "endTime") if version == 1 else ("startOffset", "endOffset")
    listed = [
        {
            "alternatives": [
                {
                    "transcript": turn.text,
                    "words": [
                        {"word": word, names[0]: f"{start}s", names[1]: f"{end}s"} for word, start, end in words(turn)
                    ],
                }
            ]
        }
        for turn in TURNS
    ]
    if version == 1:
        tagged = [
            {"word": word, "startTime": f"{start}s", "endTime": f"{end}s", "speakerTag": turn.who + 1}
            for turn, word, start, end in all_words()
        ]
        return {"name": "7", "done": True, "response": {"results": [*listed, {"alternatives": [{"words": tagged}]}]}}
    for turn, one in zip(TURNS, listed, strict=True):
        for word in one["alternatives"][0]["words"]:
            word["speakerLabel"] = str(turn.who + 1)
    return {"results": listed}


def entries(**names: str) -> list[dict[str, Any]]:
    """Turns as objects whose keys have these names: who, start, end, text."""
    return [
        {names[own]: value for own, value in {**turn._asdict(), "who": f"S{turn.who}"}.items() if own in names}
        for turn in TURNS
    ]


def scaled(listed: list[dict[str, Any]], factor: float, *names: str) -> list[dict[str, Any]]:
    return [{key: round(value * factor) if key in names else value for key, value in one.items()} for one in listed]


def word_entries(name: str = "word", start: str = "start", end: str = "end", who: str | None = "speaker") -> Any:
    return [
        {name: word, start: begin, end: stop, **({who: f"S{turn.who}"} if who else {})}
        for turn, word, begin, stop in all_words()
    ]


def textgrid(short: bool = False, tiers: dict[str, list[tuple[float, float, str]]] | None = None) -> str:
    """With the empty intervals that Praat writes between the others."""
    if tiers is None:
        tiers = {name: [turn[1:] for turn in TURNS if turn.who == who] for who, name in enumerate(("Ann", "Bob"))}
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", "xmax = 11.2"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, intervals) in enumerate(tiers.items(), start=1):
        filled, last = [], 0.0
        for start, end, text in intervals:
            filled += [(last, start, ""), (start, end, text)]
            last = end
        filled.append((last, 11.2, ""))
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f'        name = "{name}"']
        lines += ["        xmin = 0", "        xmax = 11.2", f"        intervals: size = {len(filled)}"]
        for place, (start, end, text) in enumerate(filled, start=1):
            said = text.replace('"', '""')
            lines += [f"        intervals [{place}]:", f"            xmin = {start}", f"            xmax = {end}"]
            lines.append(f'            text = "{said}"')
    if not short:
        return "\n".join(lines) + "\n"
    kept = [line.partition("= ")[2] if "= " in line else line for line in lines]
    kept = ["<exists>" if "exists" in line else line for line in kept if not line.strip().endswith(":")]
    return "\n".join([*lines[:2], *kept[2:]]) + "\n"


def elan() -> str:
    slots = "".join(
        f'<TIME_SLOT TIME_SLOT_ID="ts{n}{edge}" TIME_VALUE="{round(time * 1000)}"/>'
        for n, turn in enumerate(TURNS)
        for edge, time in (("a", turn.start), ("b", turn.end))
    )
    tiers = ""
    for who, name in enumerate(("Ann", "Bob")):
        inner = "".join(
            f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{n}" TIME_SLOT_REF1="ts{n}a" TIME_SLOT_REF2="ts{n}b">'
            f"<ANNOTATION_VALUE>{turn.text}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>"
            for n, turn in enumerate(TURNS)
            if turn.who == who
        )
        tiers += f'<TIER LINGUISTIC_TYPE_REF="default-lt" PARTICIPANT="{name}" TIER_ID="{name}-utt">{inner}</TIER>'
    tiers += '<TIER LINGUISTIC_TYPE_REF="words" PARENT_REF="Ann-utt" TIER_ID="Ann-words"></TIER>'
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ANNOTATION_DOCUMENT AUTHOR="" VERSION="3.0">'
        f'<HEADER TIME_UNITS="milliseconds"/><TIME_ORDER>{slots}</TIME_ORDER>{tiers}</ANNOTATION_DOCUMENT>'
    )


def ttml(time: str = "clock") -> str:
    ways = {
        "clock": clock,
        "seconds": lambda moment: f"{moment}s",
        "ticks": lambda moment: f"{round(moment * 10_000_000)}t",
    }
    lines = "".join(
        f'<p begin="{ways[time](turn.start)}" end="{ways[time](turn.end)}" ttm:agent="p{turn.who}">{turn.text}</p>'
        for turn in TURNS
    )
    return (
        '<?xml version="1.0"?><tt xmlns="http://www.w3.org/ns/ttml" xmlns:ttm="http://www.w3.org/ns/ttml#metadata" '
        'xmlns:ttp="http://www.w3.org/ns/ttml#parameter" ttp:tickRate="10000000"><head><metadata>'
        '<ttm:agent xml:id="p0" type="person"><ttm:name type="full">Ann</ttm:name></ttm:agent>'
        '<ttm:agent xml:id="p1" type="person"><ttm:name type="full">Bob</ttm:name></ttm:agent>'
        f"</metadata></head><body><div>{lines}</div></body></tt>"
    )


def dump(data: Any) -> str:
    return json.dumps(data)
