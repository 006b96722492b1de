"""The report says what the scores say, stays small, and nothing from a corpus can run in it."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest

from hbaf.report.charts import mix_over_time, river, slots_of, stacked
from hbaf.report.conversation import slug_of
from hbaf.report.pages import ReportError
from tests.report.made_up import (
    EMOTIONS,
    INJECTIONS,
    PROVENANCE,
    everything,
    fake_scores,
    pages_of,
    poisoned,
    write,
)


def test_a_second_model_beside(tmp_path: Path) -> None:
    scores = fake_scores(2)
    other = scores["label"].mask(scores["turn"] == 3, "joy").mask(scores["turn"] == 4, None)
    scores = scores.assign(beside_label=other, beside_confidence=0.54, beside_model="hbaf-calls/1")
    index = write(scores, tmp_path / "report")
    both = other.notna() & scores["label"].notna()
    differ = (other != scores["label"])[both]
    text = index.read_text("utf-8")
    assert f"{100 * (1 - differ.mean()):.0f}\N{NO-BREAK SPACE}%</b><span>agree with hbaf-calls/1" in text
    assert "Where the two models differ most" in text
    by_name = dict(list(scores.groupby("dialogue_id")))
    for page in pages_of(tmp_path / "report"):
        rows, shown = by_name[page.name.partition("-")[0]], page.read_text("utf-8")
        assert shown.count("hbaf-calls/1 says") == rows["beside_label"].notna().sum()
        assert shown.count('class="said beside') == differ[rows.index.intersection(differ.index)].sum()
    assert "agree with" not in write(fake_scores(1, labelled=False), tmp_path / "alone").read_text("utf-8")


def test_links_lead_to_what_lies_beside_the_report(tmp_path: Path) -> None:
    table = tmp_path / "my scores" / "scores#1.csv"
    table.parent.mkdir()
    table.touch()
    index = write(fake_scores(1), tmp_path / "my scores" / "report", links={"Table (CSV)": table})
    for page in (index, *pages_of(index.parent)):
        (href,) = re.findall(r'<a href="([^"]*)">Table \(CSV\)</a>', page.read_text("utf-8"))
        assert (page.parent / unquote(href)).resolve() == table.resolve()


def listed(index: Path) -> dict:
    """The data that the index's script reads."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', index.read_text("utf-8"), re.S)
    return json.loads(found.group(1))


class Elements(HTMLParser):
    """Every element as (tag, attributes), and all text outside scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.inside = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside not in ("script", "style"):
            self.text += data

    def with_class(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for _, attributes in self.found if name in (attributes.get("class") or "").split()]


@pytest.fixture
def corpus_root(tmp_path: Path) -> Path:
    """Two minutes of two tones: 220 Hz on the left channel, 440 Hz on the right."""
    import soundfile

    root = tmp_path / "corpus"
    (root / "audio").mkdir(parents=True)
    time = np.arange(120 * 8000) / 8000
    stereo = 0.3 * np.stack([np.sin(2 * np.pi * 220 * time), np.sin(2 * np.pi * 440 * time)], axis=1)
    for dialogue in range(3):
        soundfile.write(root / "audio" / f"dia{dialogue}.wav", stereo, 8000)
    return root


def test_the_pages_hold_what_the_scores_say(tmp_path):
    scores = fake_scores()
    index = write(scores, tmp_path)
    assert index == tmp_path / "index.html"
    assert len(pages_of(tmp_path)) == 3
    data = listed(index)
    rows = data["conversations"]
    assert [row[0] for row in rows] == ["dia0", "dia1", "dia2"]
    assert [len(row[3]) for row in rows] == [20, 20, 20]
    counts = np.sum([row[4] for row in rows], axis=0)
    assert counts.tolist() == [int((scores["label"] == emotion).sum()) for emotion in EMOTIONS]
    assert data["speakers"] == ["Mara", "Tomasz", "Ines"]
    assert {row[1] for row in rows} == {page.stem for page in pages_of(tmp_path)}

    page = Elements((tmp_path / "conversations" / f"{rows[0][1]}.html").read_text("utf-8"))
    first = scores[scores["dialogue_id"] == "dia0"]
    assert len(page.with_class("turn")) == 20
    assert all(words in page.text for words in first["text"].dropna())
    assert page.text.count("Audio alone would have said") == 19
    assert page.text.count("ext alone would have said") == 19  # "Text" where there is no audio
    assert len(page.with_class("right")) - len([t for t in page.with_class("turn") if "right" in t["class"]]) == int(
        (first["label"] == first["emotion"]).sum()
    )
    assert len(page.with_class("wrong")) == int((first["label"] != first["emotion"]).sum())
    assert "No usable text: no word was recognised" in page.text
    assert "No usable audio: the clip is not in the release" in page.text
    assert len(page.with_class("gates")) == 20
    assert len(page.with_class("looked-at")) == 20
    assert page.text.count("earlier, turn") == page.text.count("later, turn") == 19
    bars = [attributes for tag, attributes in page.found if tag == "li" and "k" in (attributes.get("class") or "")[:1]]
    assert len(bars) >= 20 * len(EMOTIONS)


def test_the_summary_counts_and_names_its_origin(tmp_path):
    scores = fake_scores()
    text = re.sub(r"\s+", " ", Elements(write(scores, tmp_path).read_text("utf-8")).text)
    assert "3conversations" in text.replace(" ", "")
    assert "60turns" in text.replace(" ", "")
    assert "Model hbaf/7" in text
    assert all(name in text and value in text for name, value in PROVENANCE.items())
    agreement = round(100 * (scores["label"] == scores["emotion"]).mean())
    assert f"{agreement} %agree with the label, of 60" in text.replace(f"{agreement} % ", f"{agreement} %")
    assert "Turns without audio: 3. Turns without text: 3." in text


def test_equal_scores_give_equal_files_in_any_order_of_rows(tmp_path):
    scores = fake_scores()
    write(scores, tmp_path / "a")
    write(scores.sample(frac=1, random_state=1), tmp_path / "b")
    first, second = everything(tmp_path / "a"), everything(tmp_path / "b")
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_rewriting_removes_old_pages_and_spares_strangers(tmp_path):
    write(fake_scores(3), tmp_path)
    stranger = tmp_path / "conversations" / "notes.html"
    stranger.write_text("<p>mine</p>")
    write(fake_scores(1), tmp_path)
    assert len(pages_of(tmp_path)) == 2
    assert stranger.read_text() == "<p>mine</p>"
    assert not [name for name in everything(tmp_path) if name.endswith(".tmp")]


def test_a_strangers_index_is_not_replaced(tmp_path):
    (tmp_path / "index.html").write_text("<p>mine</p>")
    with pytest.raises(ReportError, match="not written by hbaf"):
        write(fake_scores(1), tmp_path)
    assert (tmp_path / "index.html").read_text() == "<p>mine</p>"


def test_no_scores_make_a_page_that_says_so(tmp_path):
    write(fake_scores(1), tmp_path)
    for empty in (fake_scores(1).iloc[:0], pd.DataFrame()):
        page = Elements(write(empty, tmp_path).read_text("utf-8"))
        assert "There are no scored conversations in this report." in page.text
        assert pages_of(tmp_path) == []


def test_optional_columns_may_be_absent(tmp_path):
    needed = [
        "utterance_id",
        "corpus",
        "dialogue_id",
        "turn",
        "label",
        "confidence",
        *(f"p_{name}" for name in EMOTIONS),
    ]
    index = write(fake_scores(2)[needed], tmp_path)
    assert len(listed(index)["conversations"]) == 2
    page = pages_of(tmp_path)[0].read_text("utf-8")
    assert "(unknown)" in page
    assert "labelled" not in Elements(page).text
    assert "alone would have said" not in page


@pytest.mark.parametrize("column", ["label", "p_joy", "turn"])
def test_a_lacking_column_is_named(tmp_path, column):
    with pytest.raises(ReportError, match=f"lack the columns {column}"):
        write(fake_scores(1).drop(columns=column), tmp_path)


def test_a_turn_scored_twice_is_refused(tmp_path):
    scores = fake_scores(1)
    with pytest.raises(ReportError, match="talks/dia0/0: scored twice"):
        write(pd.concat([scores, scores.iloc[:1]]), tmp_path)


def test_unscored_turns_are_shown_as_such(tmp_path):
    scores = fake_scores(1)
    scores.loc[4, ["label", "confidence", "audio_label", "text_label", *(f"p_{name}" for name in EMOTIONS)]] = None
    index = write(scores, tmp_path)
    row = listed(index)["conversations"][0]
    assert row[3][4] == "."
    assert sum(row[4]) == 19
    page = Elements(pages_of(tmp_path)[0].read_text("utf-8"))
    assert "This turn was not scored." in page.text
    assert len(page.with_class("evidence")) == 20  # its gates are still shown


@pytest.mark.parametrize("everything_unscored", [True, False])
def test_json_holds_no_nan(tmp_path, everything_unscored):
    scores = fake_scores(2)
    chosen = scores.index if everything_unscored else scores.index[:20]
    scores.loc[chosen, ["label", "confidence", "seconds", "start", "end"]] = None
    assert "NaN" not in write(scores, tmp_path).read_text("utf-8")


@pytest.mark.parametrize("text", INJECTIONS)
def test_what_a_corpus_carries_is_never_markup(tmp_path, text):
    emotions = tuple(text if name == "joy" else name for name in EMOTIONS)
    write(
        poisoned(text), tmp_path / "bad", title=text, emotions=emotions, provenance={text: text}, corpus_root=tmp_path
    )
    write(poisoned("harmless"), tmp_path / "good", title="harmless",
          emotions=tuple("harmless" if name == "joy" else name for name in EMOTIONS),
          provenance={"harmless": "harmless"}, corpus_root=tmp_path)  # fmt: skip
    bad, good = tmp_path / "bad", tmp_path / "good"
    for path, twin in [(bad / "index.html", good / "index.html"), *zip(pages_of(bad), pages_of(good), strict=True)]:
        page = path.read_text("utf-8")
        if "<" in text:
            assert text not in page
        elements, same = Elements(page), Elements(twin.read_text("utf-8"))
        # The same elements with the same attribute names, classes and ids: nothing grew from the words.
        assert [tag for tag, _ in elements.found] == [tag for tag, _ in same.found]
        for (_, got), (_, expected) in zip(elements.found, same.found, strict=True):
            assert list(got) == list(expected)
            assert got.get("class") == expected.get("class")
            assert got.get("id") == expected.get("id")
            for name in ("href", "src"):
                address = got.get(name) or ""
                assert ":" not in address.split(",")[0] or address == "data:,", address
    assert len(listed(bad / "index.html")["conversations"]) == 1


def test_the_policy_allows_our_own_scripts_alone(tmp_path):
    write(fake_scores(1), tmp_path)
    for path in [tmp_path / "index.html", *pages_of(tmp_path)]:
        page = path.read_text("utf-8")
        elements = Elements(page)
        policy = next(a["content"] for _, a in elements.found if a.get("http-equiv") == "Content-Security-Policy")
        assert policy.startswith("default-src 'none'; script-src 'sha256-")
        assert "unsafe" not in policy
        assert not [a for _, a in elements.found if "style" in a or any(name.startswith("on") for name in a)]
        assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in page


@pytest.mark.parametrize(
    "dialogue_id",
    [
        "",
        "..",
        "../../etc/passwd",
        "a/b",
        "a b",
        "CON",
        "Größe 7",
        "会話",
        "\x00",
        "\ud800",
        "x" * 5000,
        "-",
        ".hidden",
        "a?b#c%20",
    ],
)
def test_a_slug_is_a_plain_file_name(dialogue_id):
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?", slug_of("c", dialogue_id))


def test_slugs_tell_ids_apart():
    ids = [
        "a/b",
        "a b",
        "a-b",
        "A-B",
        "a--b",
        "ä",
        "a",
        "x" * 300,
        "x" * 301,
        "会話",
        "会议",
        "",
        "..",
        "../..",
        "1",
        "01",
    ]
    slugs = {slug_of(corpus, name) for corpus in ("c", "d") for name in ids}
    assert len({slug.lower() for slug in slugs}) == 2 * len(ids)


@pytest.mark.long
def test_one_thousand_conversations_fit_into_two_megabytes(tmp_path):
    scores = fake_scores(1000, 5)
    scores["speaker"] = scores["speaker"] + " " + (scores.index // 5).astype(str)  # 3,000 different names
    scores["text"] = scores["text"].fillna("") + " Ünïcödé 会話" * 8
    scores["dialogue_id"] = (
        "a rather long name of a recording, as archives like them, part number " + scores["dialogue_id"]
    )
    scores["audio"] = None
    index = write(scores, tmp_path)
    assert index.stat().st_size < 2_000_000
    assert len(listed(index)["conversations"]) == 1000
    assert len(pages_of(tmp_path)) == 1000
    assert "Names and first words" in index.read_text("utf-8")


def test_long_conversations_keep_a_short_strip(tmp_path):
    scores = fake_scores(1, 1000)
    scores["label"] = "neutral"
    scores.loc[517, "label"] = "fear"
    row = listed(write(scores, tmp_path))["conversations"][0]
    assert len(row[3]) == 160
    assert row[3].count("2") == 1  # the single fear is still seen
    assert row[4][:3] == [999, 0, 1]


def sources(folder: Path, which: int = 0) -> list[dict[str, str | None]]:
    return [
        attributes for tag, attributes in Elements(pages_of(folder)[which].read_text("utf-8")).found if tag == "audio"
    ]


def test_links_lead_to_the_segment_in_the_file(tmp_path, corpus_root):
    scores = fake_scores()
    scores.loc[0, "start"] = None
    scores.loc[1, "end"] = None
    write(scores, tmp_path / "report", corpus_root=corpus_root)
    found = [clip for which in range(3) for clip in sources(tmp_path / "report", which)]
    assert len(found) == 57  # three turns have no audio
    for clip in found:
        path = unquote(clip["src"].split("#")[0])
        assert (tmp_path / "report" / "conversations" / path).resolve().parent == corpus_root / "audio"
    assert f"dia1.wav#t={scores.loc[25, 'start']:.3f},{scores.loc[25, 'end']:.3f}" in "".join(c["src"] for c in found)
    dia0 = [clip["src"] for clip in found if "dia0" in clip["src"]]
    assert dia0[0].endswith(f"#t=0.000,{scores.loc[0, 'end']:.3f}")
    assert dia0[1].endswith(f"#t={scores.loc[1, 'start']:.3f}")


@pytest.mark.parametrize("mode", ["link", "embed"])
@pytest.mark.parametrize(
    "audio", ["../secret.wav", "/etc/passwd", "audio/../../secret.wav", "javascript:alert(1)", "http://a.example/x.wav"]
)
def test_nothing_outside_the_corpus_is_played(tmp_path, corpus_root, audio, mode):
    (tmp_path / "secret.wav").write_bytes((corpus_root / "audio" / "dia0.wav").read_bytes())
    scores = fake_scores(1)
    scores["audio"] = audio
    write(scores, tmp_path / "report", corpus_root=corpus_root, audio=mode)
    assert sources(tmp_path / "report") == []


def test_a_file_named_like_a_script_stays_a_file(tmp_path, corpus_root):
    (corpus_root / "audio" / "dia0.wav").rename(corpus_root / "javascript:alert(1)#?.wav")
    scores = fake_scores(1)
    scores["audio"] = "javascript:alert(1)#?.wav"
    write(scores, tmp_path / "report", corpus_root=corpus_root)
    assert all(
        clip["src"].startswith("../../corpus/javascript%3Aalert%281%29%23%3F.wav#t=")
        for clip in sources(tmp_path / "report")
    )


def test_embedded_audio_is_the_segment_and_the_channel(tmp_path, corpus_root):
    import base64
    import io

    import soundfile

    scores = fake_scores(1)
    scores["channel"] = pd.array([1] * 20, dtype="Int64")
    scores.loc[2, ["start", "end"]] = [0.0, 61.0]
    scores.loc[3, ["start", "end"]] = [130.0, 140.0]
    write(scores, tmp_path / "report", corpus_root=corpus_root, audio="embed")
    clips = sources(tmp_path / "report")
    assert [clip["src"][:10] for clip in clips[:4]] == ["data:audio", "data:audio", "../../corp", "../../corp"]
    signal, rate = soundfile.read(io.BytesIO(base64.b64decode(clips[0]["src"].split(",")[1])))
    assert rate == 16_000
    assert abs(len(signal) / rate - (scores.loc[0, "end"] - scores.loc[0, "start"])) < 0.15  # MP3 pads to whole frames
    spectrum = np.abs(np.fft.rfft(signal))
    assert abs(np.fft.rfftfreq(len(signal), 1 / rate)[spectrum.argmax()] - 440) < 3
    page = pages_of(tmp_path / "report")[0].read_text("utf-8")
    assert "The audio is linked and not embedded: longer than 60 s." in page
    assert page.count("The audio is linked and not embedded") == 2  # the other one lies beyond the end of the file


def test_a_page_embeds_no_more_than_one_can_open(tmp_path, corpus_root, monkeypatch):
    monkeypatch.setattr("hbaf.report.audio.EMBED_PAGE_BYTES", 20_000)
    scores = fake_scores(1)
    scores["channel"] = pd.array([0] * 20, dtype="Int64")
    write(scores, tmp_path / "report", corpus_root=corpus_root, audio="embed")
    kinds = [clip["src"][:4] for clip in sources(tmp_path / "report")]
    assert 0 < kinds.count("data") < len(kinds)
    assert "the page holds enough audio already" in pages_of(tmp_path / "report")[0].read_text("utf-8")


@pytest.mark.parametrize(
    ("settings", "note"), [({"audio": "none"}, ""), ({"corpus_root": None}, "without the corpus folder")]
)
def test_no_audio_by_setting_or_by_lack_of_a_folder(tmp_path, corpus_root, settings, note):
    write(fake_scores(1), tmp_path / "report", **{"corpus_root": corpus_root, **settings})
    assert sources(tmp_path / "report") == []
    assert note in pages_of(tmp_path / "report")[0].read_text("utf-8")


def test_palette_keeps_emotions_apart():
    assert slots_of(["anger", "angry", "joy"]) == [3, slots_of(["anger", "angry", "joy"])[1], 1]
    for emotions in (
        EMOTIONS,
        ("happy", "sad", "neutral", "angry", "excited", "frustrated"),
        tuple("abcdefghijkl"[:11]),
    ):
        assert len(set(slots_of(emotions))) == len(emotions)
    assert len(slots_of([str(number) for number in range(40)])) == 40


def luminance(colour: str) -> float:
    """Relative luminance of #rgb or #rrggbb, WCAG 2.2."""
    digits = colour.lstrip("#")
    digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted([luminance(one), luminance(other)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_colours_are_readable_in_light_and_dark():
    from hbaf.report.pages import TEMPLATES

    css = (TEMPLATES / "report.css").read_text("utf-8")
    schemes = [
        dict(re.findall(r"--([a-z0-9]+): (#[0-9a-f]+)", block)) for block in re.findall(r":root \{(.*?)\}", css, re.S)
    ]
    schemes = [scheme for scheme in schemes if "k0" in scheme]
    assert len(schemes) == 2  # light and dark
    for scheme in schemes:
        for ground in ("page", "card"):
            assert contrast(scheme["ink"], scheme[ground]) >= 7
            assert contrast(scheme["soft"], scheme[ground]) >= 4.5
            assert min(contrast(scheme[f"k{slot}"], scheme[ground]) for slot in range(12)) >= 3
        readable = {slot: contrast(scheme[f"k{slot}"], scheme[f"n{slot}"]) for slot in range(12)}
        assert min(readable.values()) >= 4.5, readable


def test_stacked_bars_fill_the_length():
    assert stacked([1, 0, 3], [5, 6, 7]) == [(0.0, 25.0, 5), (25.0, 75.0, 7)]
    assert stacked([0, 0], [1, 2]) == []


def test_the_river_is_flat_over_a_turn_and_bends_between():
    # One emotion falls from 1/2 to 1/4: its lower edge goes from 50 to 25 around x = 10, the border of the turns.
    paths = dict(river([[0.5, 0.5], [0.25, 0.75]], [3, 5]))
    assert paths[3] == "M0 0L7.5 0C10 0 10 0 12.5 0L20 0L20 25L12.5 25C10 25 10 50 7.5 50L0 50Z"
    assert set(paths) == {3, 5}


def test_the_river_has_a_gap_where_nothing_was_scored():
    path = dict(river([[1.0], None, [1.0]], [0]))[0]
    assert path == "M0 0L10 0L10 100L0 100ZM20 0L30 0L30 100L20 100Z"


def test_the_mix_over_time_counts_each_conversation_once():
    # A conversation of 2 turns and one of 4: in the first half all are class 0, in the last quarter half of them.
    assert mix_over_time([[0, 1], [0, 0, 0, 1]], 2, bins=4) == [[2, 0], [2, 0], [1, 1], [0, 2]]
    assert mix_over_time([[-1]], 2, bins=1) == [[0, 0]]


def test_a_label_is_hollow_as_the_model_says(tmp_path: Path) -> None:
    scores = fake_scores(1, 4)
    known = scores.assign(confidence=[0.9, 0.9, 0.2, 0.2], uncertain=[True, False, True, False])
    for table, hollow in (
        (known, [True, False, True, False]),
        (known.drop(columns="uncertain"), [False] * 2 + [True] * 2),
    ):
        index = write(table, tmp_path / str(len(table.columns)))
        (page,) = (index.parent / "conversations").glob("*.html")
        pills = re.findall(r'<span class="pill( hollow)?">', page.read_text())
        assert [bool(pill) for pill in pills] == hollow
