"""The report in a real browser: it loads, filters, moves by keyboard, plays, and runs nothing that a corpus carries."""

import importlib.util
import time
from pathlib import Path

import numpy as np
import pytest

from hbaf.corpus.schema import Corpus, as_utterances, empty_splits
from hbaf.corpus.sound.facts import add_facts
from hbaf.report.pages import write_report
from tests.report import made_up

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--mute-audio", "--autoplay-policy=no-user-gesture-required",
]  # fmt: skip

pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"browser absent: {CHROMIUM} (Debian: apt-get install chromium)"),
    pytest.mark.skipif(
        importlib.util.find_spec("playwright") is None, reason="playwright absent: pip install hbaf[dev]"
    ),
]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield started
        started.close()


class Page:
    """A tab that remembers what the browser complained about and what it asked for."""

    def __init__(self, tab) -> None:
        self.tab = tab
        self.complaints: list[str] = []
        self.asked: list[str] = []
        tab.on("console", lambda message: self.complaints.append(message.text))
        tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        tab.on("dialog", lambda dialog: (self.complaints.append("dialog"), dialog.dismiss()))
        tab.on("request", lambda request: self.asked.append(request.url))

    def open(self, path: Path, fragment: str = "") -> None:
        self.tab.goto(path.as_uri() + fragment)

    def number_of(self, selector: str) -> int:
        return self.tab.locator(selector).count()

    def until(self, condition: str) -> None:
        """Waits for a condition; the browser's own way of waiting evaluates strings, which our policy forbids."""
        for _ in range(1200):
            if self.tab.evaluate(condition):
                return
            self.tab.wait_for_timeout(25)
        raise AssertionError(f"never became true: {condition}; the browser complained of {self.complaints}")

    def current(self) -> str:
        return self.tab.locator(".turn.current").get_attribute("id")


@pytest.fixture
def page(browser):
    context = browser.new_context(viewport={"width": 1200, "height": 800}, reduced_motion="reduce")
    made = Page(context.new_page())
    yield made
    context.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Four conversations, the last one between others; with audio."""
    import soundfile

    folder = tmp_path_factory.mktemp("report")
    (folder / "corpus" / "audio").mkdir(parents=True)
    tone = 0.2 * np.sin(2 * np.pi * 220 * np.arange(100 * 8000) / 8000)
    for dialogue in range(4):
        soundfile.write(folder / "corpus" / "audio" / f"dia{dialogue}.wav", tone, 8000)
    scores = made_up.fake_scores(4, 12)
    last = scores["dialogue_id"] == "dia3"
    scores.loc[last, "speaker"] = scores.loc[last, "speaker"].map({"Mara": "Aiko", "Tomasz": "Bjørn", "Ines": "Aiko"})
    scores["label"] = scores["label"].where(scores["label"] != "disgust", "neutral")
    scores.loc[last & (scores["turn"] == 5), "label"] = "disgust"
    scores["confidence"] += np.where(scores["dialogue_id"] == "dia1", -0.9, 0).clip(-scores["confidence"])
    made_up.write(scores, folder / "site", corpus_root=folder / "corpus")
    return folder / "site"


def names(page: Page) -> list[str]:
    """From the document: `inner_text` of a row that the browser has not drawn yet is empty (content-visibility)."""
    return page.tab.locator("#list .name b").all_text_contents()


def test_the_index_lists_filters_sorts_and_searches(page, report):
    page.open(report / "index.html")
    assert names(page) == ["dia0", "dia1", "dia2", "dia3"]
    disgust = page.tab.get_by_role("button", name="disgust")
    disgust.click()
    assert names(page) == ["dia3"]
    assert page.tab.locator("#found").inner_text() == "1 of 4"
    page.tab.reload()  # the choice is in the address
    assert names(page) == ["dia3"]
    disgust.click()
    page.tab.fill("#speaker", "bjørn")
    assert names(page) == ["dia3"]
    page.tab.fill("#speaker", "")
    page.tab.select_option("#sort", "uncertain")
    assert names(page)[0] == "dia1"
    page.tab.fill("#search", "bridge was about to snap")
    assert 0 < len(names(page)) < 4
    page.tab.fill("#search", "no such words")
    assert names(page) == []
    assert page.complaints == []
    assert all(url.startswith(("file:", "data:")) for url in page.asked)


def test_the_index_is_walked_by_keyboard(page, report):
    page.open(report / "index.html")
    page.tab.keyboard.press("j")
    page.tab.keyboard.press("ArrowDown")
    page.tab.keyboard.press("k")
    page.tab.keyboard.press("Enter")
    assert page.tab.locator("h1").inner_text() == "dia0"
    page.tab.go_back()
    page.tab.keyboard.press("/")
    page.tab.keyboard.type("jk?")
    assert page.tab.input_value("#search") == "jk?"
    assert page.complaints == []


def test_turns_are_walked_by_keyboard(page, report):
    page.open(made_up.pages_of(report)[0])
    assert page.current() == "t1"
    for key, expected in [
        ("j", "t2"),
        ("ArrowDown", "t3"),
        ("k", "t2"),
        ("ArrowUp", "t1"),
        ("k", "t1"),
        ("End", "t12"),
    ]:
        page.tab.keyboard.press(key)
        assert page.current() == expected
    assert page.tab.evaluate("document.querySelector('.cursor').getAttribute('x')") == "110"
    assert page.tab.locator(".turn.current").bounding_box()["y"] < 800
    page.tab.keyboard.press("?")
    assert page.tab.locator("#help").is_visible()
    page.tab.keyboard.press("j")
    assert page.current() == "t12"
    page.tab.keyboard.press("Escape")
    assert not page.tab.locator("#help").is_visible()
    page.tab.keyboard.press("e")
    assert page.number_of(".evidence[open]") == 12
    page.tab.keyboard.press("n")
    page.tab.wait_for_url("**/conversations/dia1*")
    page.tab.keyboard.press("i")
    page.tab.wait_for_url("**/index.html")
    assert page.complaints == []


def test_a_link_to_a_turn_opens_there(page, report):
    page.open(made_up.pages_of(report)[0], "#t7")
    assert page.current() == "t7"
    page.open(made_up.pages_of(report)[0], "#t7000")
    assert page.current() == "t12"


# Sounds play at a tenth of their speed, so that a busy machine has looked before they end.
SLOWLY = "document.querySelectorAll('audio').forEach(audio => { audio.playbackRate = 0.1 })"


def test_space_plays_and_pauses_the_segment(page, report):
    page.open(made_up.pages_of(report)[0], "#t3")
    page.tab.evaluate(SLOWLY)
    audio = "document.querySelector('#t3 audio')"
    page.tab.keyboard.press(" ")
    page.until(f"!{audio}.paused && {audio}.currentTime > Number({audio}.dataset.start) + 0.05")
    assert page.tab.evaluate(f"{audio}.currentTime < Number({audio}.dataset.end)")
    assert page.tab.locator("#t3 .play").get_attribute("aria-label") == "Pause"
    page.tab.keyboard.press(" ")
    page.until(f"{audio}.paused")
    page.tab.evaluate(f"{audio}.currentTime = Number({audio}.dataset.end) - 0.1")
    page.tab.evaluate(f"{audio}.onplaying = () => {{ window.played = true }}")
    page.tab.keyboard.press(" ")  # to the end of the segment, and no further
    page.until(f"window.played && {audio}.paused")
    assert abs(page.tab.evaluate(f"{audio}.currentTime - Number({audio}.dataset.end)")) < 0.3
    assert page.complaints == []


def test_playing_through_goes_on_with_the_next_turn(page, report):
    page.open(made_up.pages_of(report)[0], "#t2")
    page.tab.evaluate(SLOWLY)
    page.tab.keyboard.press("a")
    page.until("!document.querySelector('#t2 audio').paused")
    page.tab.evaluate(
        "(() => { const a = document.querySelector('#t2 audio'); a.currentTime = a.dataset.end - 0.1 })()"
    )
    page.until("!document.querySelector('#t3 audio').paused")
    assert page.current() == "t3"
    page.tab.keyboard.press("a")
    page.until("document.querySelector('#t3 audio').paused")
    assert page.complaints == []


@pytest.mark.parametrize("text", made_up.INJECTIONS)
def test_nothing_that_a_corpus_carries_runs(page, tmp_path, text):
    emotions = tuple(text if name == "joy" else name for name in made_up.EMOTIONS)
    site = tmp_path / "site"
    made_up.write(
        made_up.poisoned(text), site, title=text, emotions=emotions, provenance={text: text}, corpus_root=tmp_path
    )
    shown = " ".join(text.replace("\x00", " ").split())
    for path in [site / "index.html", *made_up.pages_of(site)]:
        page.open(path)
        for key in ("j", "e", " ", "?"):
            page.tab.keyboard.press(key)
        assert page.tab.evaluate("window.injected") is None
        assert " ".join(page.tab.locator("h1").inner_text().split()) == shown
        assert page.number_of("img, iframe, object, main svg[onload]") == 0
    assert page.number_of(".turn") == 8
    assert page.complaints == []
    assert all(url.startswith(("file:", "data:")) for url in page.asked)


def test_the_policy_stops_a_script_that_got_in_anyway(page, tmp_path):
    index = made_up.write(made_up.fake_scores(1), tmp_path)
    bad = '<script>window.injected=1</script><img src="x" onerror="window.injected=1">'
    index.write_text(index.read_text("utf-8").replace("<main", f"{bad}<main", 1), "utf-8")
    page.open(index)
    assert page.number_of("body > img") == 1
    assert page.tab.evaluate("window.injected") is None
    assert names(page) == ["dia0"]  # ours still runs
    assert any("Content Security Policy" in complaint for complaint in page.complaints)


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (360, "dark"), (1200, "dark")])
def test_nothing_hangs_over_the_edge(browser, report, width, scheme):
    context = browser.new_context(viewport={"width": width, "height": 740}, color_scheme=scheme)
    tab = context.new_page()
    for path in (report / "index.html", made_up.pages_of(report)[0]):
        tab.goto(path.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        ground = tab.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert (ground == "rgb(16, 18, 24)") == (scheme == "dark")
    context.close()


def test_print_opens_the_evidence_and_hides_the_controls(page, report):
    page.open(made_up.pages_of(report)[0])
    page.tab.emulate_media(media="print")
    page.tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.tab.locator("#t1 .bars").first.is_visible()
    assert not page.tab.locator("#t1 .play").is_visible()
    assert not page.tab.locator(".actions").is_visible()
    page.tab.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.number_of(".evidence[open]") == 0


def test_pages_are_readable_without_script(browser, report):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto((report / "index.html").as_uri())
    assert tab.locator(".plain a").all_inner_texts() == ["dia0", "dia1", "dia2", "dia3"]
    tab.locator(".plain a").first.click()
    tab.wait_for_url("**/conversations/*")  # loaded whole
    assert tab.locator(".turn").count() == 12
    assert tab.locator("audio").first.is_visible()
    context.close()


@pytest.mark.long
def test_one_thousand_conversations_are_listed_and_searched(page, tmp_path):
    """Says how long it takes (`pytest -rP`)."""
    scores = made_up.fake_scores(1000, 2)
    index = write_report(
        scores, tmp_path, title="Many", corpus_root=None, emotions=made_up.EMOTIONS, provenance={}, audio="none"
    )
    began = time.perf_counter()
    page.open(index)
    page.tab.wait_for_selector("#list li:nth-child(100)")
    opened = time.perf_counter()
    page.tab.fill("#search", "sandwich")
    assert "of 1,000" in page.tab.locator("#found").inner_text()
    print(f"opened in {opened - began:.2f} s, searched in {time.perf_counter() - opened:.2f} s")
    page.tab.fill("#search", "")
    page.tab.click("#more")
    assert page.number_of("#list li") == 300


def test_words_are_found_marked_and_gone_through(page, report):
    page.open(made_up.pages_of(report)[0])
    before = page.tab.locator(".words").all_text_contents()
    page.tab.keyboard.press("/")
    page.tab.keyboard.type("LAST   tram")
    assert page.tab.locator("#hits").inner_text() == "2 found"
    assert page.tab.locator(".words mark").all_text_contents() == ["last tram", "last tram"]
    page.tab.keyboard.press("Enter")
    first = page.current()
    page.tab.keyboard.press("Enter")
    assert page.tab.locator("#hits").inner_text() == "2 of 2"
    assert page.current() != first
    page.tab.keyboard.press("Shift+Enter")
    assert page.current() == first
    assert page.tab.locator(f"#{first} mark.here").count() == 1
    page.tab.keyboard.press("Escape")
    assert page.number_of("mark") == 0
    assert page.tab.locator(".words").all_text_contents() == before
    page.tab.fill("#find", "a.*(b[")  # no pattern of anybody's
    assert page.tab.locator("#hits").inner_text() == "0 found"
    assert page.complaints == []


@pytest.mark.parametrize("width", [360, 1200])
def test_the_compact_table_shows_more_turns_and_stays_chosen(browser, report, width):
    context = browser.new_context(viewport={"width": width, "height": 800}, reduced_motion="reduce")
    tab = context.new_page()
    first, second = made_up.pages_of(report)[:2]
    tab.goto(first.as_uri())
    tall = tab.locator(".turns").bounding_box()["height"]
    tab.keyboard.press("c")
    assert tab.locator(".turns").bounding_box()["height"] < tall / 2
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.locator("#t1 .pill").is_visible()
    tab.keyboard.press("e")
    assert tab.locator("#t1 .evidence .bars").first.is_visible(), "the evidence is still to be had"
    tab.goto(second.as_uri())
    assert tab.locator("#compact").get_attribute("aria-pressed") == "true"
    context.close()


def test_the_timeline_follows_the_reader_and_keys_go_on_from_there(page, report):
    page.open(made_up.pages_of(report)[0])
    page.until("document.querySelector('.window').getAttribute('width') > 0")
    start = float(page.tab.locator(".window").get_attribute("x"))
    page.tab.mouse.move(600, 600)
    page.tab.mouse.wheel(0, 1500)
    page.until(f"Number(document.querySelector('.window').getAttribute('x')) > {start}")
    page.tab.keyboard.press("j")
    assert int(page.current()[1:]) > 3, "not the turn after the first, which is out of sight"
    assert page.complaints == []


def test_each_speaker_has_a_line(page, report):
    page.open(made_up.pages_of(report)[0])
    page.tab.locator(".speakers summary").click()
    lines = page.tab.locator(".speakers tbody tr")
    assert lines.count() == 3
    turns = [int(lines.nth(at).locator("td").first.inner_text()) for at in range(3)]
    assert sum(turns) == page.number_of(".turn")
    assert "Mara" in lines.first.inner_text()


@pytest.mark.parametrize("audio", ["embed", "link"])
def test_a_waveform_is_played_from_where_it_is_clicked(page, tmp_path, monkeypatch, audio):
    import soundfile

    monkeypatch.setenv("HBAF_HOME", str(tmp_path / "home"))

    (tmp_path / "corpus" / "audio").mkdir(parents=True)
    tone = 0.2 * np.sin(2 * np.pi * 220 * np.arange(100 * 8000) / 8000)
    soundfile.write(tmp_path / "corpus" / "audio" / "dia0.wav", tone, 8000)
    site = tmp_path / "site"
    scores = made_up.fake_scores(1, 3)
    columns = ["corpus", "dialogue_id", "turn", "speaker", "text", "audio", "start", "end"]
    add_facts(Corpus("a", tmp_path / "corpus", as_utterances(scores[columns]), empty_splits()), workers=1)
    made_up.write(scores, site, corpus_root=tmp_path / "corpus", audio=audio)
    page.open(made_up.pages_of(site)[0])
    wave = page.tab.locator("#t1 .wave")
    assert wave.locator("path").get_attribute("d").count("M") == 100
    box = wave.bounding_box()
    page.tab.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 5)
    page.until("document.querySelector('#t1 audio').currentTime > 0")
    start, end = (0, "a.duration") if audio == "embed" else (scores.loc[0, "start"], scores.loc[0, "end"])
    share = page.tab.evaluate(
        f"(a => (a.currentTime - {start}) / ({end} - {start}))(document.querySelector('#t1 audio'))"
    )
    assert 0.7 < share <= 1
    page.until("Number(document.querySelector('#t1 .played').getAttribute('width')) > 70")
    assert page.complaints == []
