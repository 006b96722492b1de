"""The report that people read: an index of scored conversations and one page for each, as plain files.

Nothing in it asks the network, and nothing that a corpus carries can run: every word is escaped by Jinja, and a
content security policy allows only the scripts and styles whose digests stand in the page.
"""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from hbaf.corpus.sound.facts_cache import FactsCache
from hbaf.home import write_atomically
from hbaf.report.audio import SERVED, AudioMode, Clips, link_to
from hbaf.report.conversation import (
    Conversation,
    Palette,
    clock,
    conversation_of,
    mix_of,
    palette_of,
    percent,
    river_view,
    speaker_views,
    turn_views,
    words_of,
)
from hbaf.report.index import for_index, index_view

TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = {  # of the pages that do more than show their keys
    "report_index": ("report_index.js",),
    "report_conversation": ("report_conversation.js", "report_labelling.js"),
}
MARK = b'<meta name="generator" content="hbaf report">'  # how a page of ours is known from a stranger's


@dataclass(frozen=True)
class Table:
    """A table below the conversations of a report's index; every cell is text."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


class ReportError(ValueError):
    """The report cannot be written; the message names what came and the next step."""


def write_report(
    scores: pd.DataFrame,
    folder: Path,
    *,
    title: str,
    corpus_root: Path | None,
    emotions: Sequence[str],
    provenance: Mapping[str, str],
    audio: AudioMode = "link",
    notice: str = "",
    review: bool = False,
    tables: Sequence[Table] = (),
    links: Mapping[str, Path] = MappingProxyType({}),
) -> Path:
    """Writes `index.html` and `conversations/*.html`; equal input gives equal files.

    Each file is written beside and renamed, the index last, and pages of conversations that are gone are removed
    after it: a reader never meets half a page or a link to nothing.

    Args:
        scores: one row per utterance: `utterance_id, corpus, dialogue_id, turn, label, confidence`, `p_<emotion>` for
            each emotion (0..1); the other columns of scored utterances are shown where they are there.
        folder: made if absent. Other people's files in it are left alone.
        title: heading of the index.
        corpus_root: folder below which the `audio` paths lie; None: nothing is played.
        emotions: the label set in the order of the class indices.
        provenance: what the scores came from, shown as names and values.
        audio: `link` to the corpus's files, `embed` the segments as 16 kHz MP3, or `none`.
        notice: a doubt about all scores, at the top of every page.
        review: pages that `hbaf review` serves: they link to the sound that it serves, and may send it labels.
        tables: shown below the list of conversations.
        links: how a file is called -> where it is, such as the table of the scores and the model's card.

    Returns:
        The path of `index.html`.

    Raises:
        ReportError: a column is lacking, a turn comes twice, or another program's index.html lies in the folder.
    """
    _check(scores, emotions)
    index, pages = folder / "index.html", folder / "conversations"
    if index.exists() and not _is_ours(index):
        raise ReportError(f"{index}: not written by hbaf, so it is not replaced. Choose an empty folder.")
    colours = palette_of(emotions)
    conversations: list[Conversation] = []  # as far as the index shows them
    pages.mkdir(parents=True, exist_ok=True)
    shared: dict[str, Any] = {
        "title": title,
        "provenance": list(provenance.items()),
        "versions": _versions(scores),
        "notice": notice,
        "review": review,
        "links": [(called, link_to(file, folder), link_to(file, pages)) for called, file in links.items()],
    }
    sounds = SERVED if review else None
    facts = FactsCache() if audio == "link" else None
    # One conversation's rows at a time: memory does not grow with the rows of all.
    for conversation, after in pairwise(chain(_conversations(scores, colours), [None])):
        assert conversation is not None
        around = (conversations[-1] if conversations else None, after)
        page = _conversation_page(
            conversation, colours, Clips(audio, corpus_root, pages, sounds, facts), around, shared
        )
        _write(pages / f"{conversation.slug}.html", page)
        conversations.append(for_index(conversation))
    _write(index, render("report_index", **index_view(conversations, colours, scores), **shared, tables=tables))
    current = {f"{conversation.slug}.html" for conversation in conversations}
    for page_file in pages.glob("*.html"):
        if page_file.name not in current and _is_ours(page_file):
            page_file.unlink(missing_ok=True)
    return index


def _check(scores: pd.DataFrame, emotions: Sequence[str]) -> None:
    if scores.empty:
        return
    needed = [
        "utterance_id",
        "corpus",
        "dialogue_id",
        "turn",
        "label",
        "confidence",
        *(f"p_{name}" for name in emotions),
    ]
    lacking = [column for column in needed if column not in scores]
    if lacking:
        raise ReportError(
            f"the scores lack the columns {', '.join(lacking)}. Score the corpus again, or name its emotions."
        )
    doubled = scores.loc[scores.duplicated(["corpus", "dialogue_id", "turn"]), "utterance_id"]
    if len(doubled):
        raise ReportError(
            f"{doubled.iloc[0]}: scored twice in this table ({len(doubled)} such rows). "
            "Pass the scores of one model version."
        )


def _conversations(scores: pd.DataFrame, colours: Palette) -> Iterator[Conversation]:
    """Sorted by corpus and id, numbers in ids by value, so that the order of rows does not matter."""
    if scores.empty:
        return
    rows_of: dict[tuple[str, str], list[int]] = {}
    for row, key in enumerate(zip(scores["corpus"].map(str), scores["dialogue_id"].map(str), strict=True)):
        rows_of.setdefault(key, []).append(row)
    for key in sorted(rows_of, key=lambda key: (_natural(key[0]), _natural(key[1]), key)):
        rows: list[Any] = scores.iloc[rows_of[key]].to_dict("records")
        yield conversation_of(*key, rows, colours)


def _natural(name: str) -> list[tuple[int, str]]:
    """A sort key where `dia9` comes before `dia10`: a number sorts by its length without zeros, then its digits."""
    parts = re.split(r"([0-9]+)", name)
    return [
        (len(part.lstrip("0")) if place % 2 else 0, part.lstrip("0") if place % 2 else part)
        for place, part in enumerate(parts)
    ]


def _versions(scores: pd.DataFrame) -> list[str]:
    return sorted({words_of(value) for value in scores["model_version"]} - {""}) if "model_version" in scores else []


def _conversation_page(
    conversation: Conversation,
    colours: Palette,
    clips: Clips,
    around: Sequence[Conversation | None],
    shared: Mapping[str, Any],
) -> str:
    views = turn_views(conversation, colours, clips)
    return render(
        "report_conversation",
        conversation=conversation,
        turns=views,
        river=river_view(conversation, views, colours),
        speakers=speaker_views(conversation, views, colours),
        mix=mix_of(conversation.labels, colours),
        choices=list(zip(colours.emotions, colours.slots, strict=True)),
        before=around[0],
        after=around[1],
        **shared,
    )


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "clock": clock}
    return environment


@cache
def _own(*names: str) -> tuple[Markup, str]:
    """A style sheet or script of ours, of one or several files, and its digest for the content security policy."""
    text = "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names)
    return Markup(text), "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def render(page: str, **content: Any) -> str:
    """A page of `templates/` with the style and the script that belong to it."""
    style, style_digest = _own("report.css")
    script, script_digest = _own(*SCRIPTS.get(page, ("page.js",)))
    own = {"style": style, "style_digest": style_digest, "script": script, "script_digest": script_digest}
    return _templates().get_template(f"{page}.html").render(**{"review": False, **own, **content})


def _is_ours(path: Path) -> bool:
    with path.open("rb") as stream:
        return MARK in stream.read(2048)


def _write(path: Path, page: str) -> None:
    content = page.encode("utf-8", "replace")
    if not (path.exists() and path.read_bytes() == content):
        write_atomically(path, content)
