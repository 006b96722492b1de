"""Labels given in a real browser arrive in the corpus: from a page that is a file, and from one that is served."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import uvicorn

from hbaf.cli import main
from hbaf.corpus.annotations import Annotation, add_annotations, read_annotations
from hbaf.corpus.read import read_corpus
from hbaf.corpus.schema import Corpus
from hbaf.labelling.importing import import_labels
from hbaf.parameters import CorpusParameters, ServeParameters
from hbaf.report.pages import write_report
from hbaf.serving.guard import listening
from hbaf.serving.review import MOST_BYTES, Reviewed, create_review
from tests.labelling.conftest import content
from tests.report.test_report_browser import Page, browser, page, pytestmark

__all__ = ["browser", "page", "pytestmark"]  # fixtures, and what they need
TOKEN = "0123456789abcdef-review"
EMOTIONS = ("neutral", "joy", "sadness", "surprise")


@pytest.fixture
def rows(corpus: Corpus) -> pd.DataFrame:
    """Everything is predicted to be neutral."""
    p = {f"p_{emotion}": 0.7 if emotion == "neutral" else 0.1 for emotion in EMOTIONS}
    return corpus.utterances.assign(label="neutral", confidence=0.7, **p)


@pytest.fixture
def site(tmp_path: Path, corpus: Corpus, rows: pd.DataFrame) -> Path:
    return write_report(
        rows, tmp_path / "site", title="Calls", corpus_root=corpus.root, emotions=EMOTIONS, provenance={}
    ).parent


@pytest.fixture
def scores(tmp_path: Path, corpus: Corpus, rows: pd.DataFrame) -> Path:
    folder = tmp_path / "scored"
    folder.mkdir()
    rows.to_parquet(folder / "scores.parquet")
    (folder / "scores.json").write_text(json.dumps({"corpus": "calls", "corpus_root": str(corpus.root)}))
    return folder


@pytest.fixture
def served(scores: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a real server, with its token."""
    place, address = listening(ServeParameters(port=0))
    server = uvicorn.Server(
        uvicorn.Config(create_review(Reviewed.read(scores), tmp_path / "pages", TOKEN), log_level="error")
    )
    thread = threading.Thread(target=server.run, args=([place],))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"{address}/{TOKEN}"
    server.should_exit = True
    thread.join()


def conversation(site: Path, name: str) -> Path:
    (found,) = (site / "conversations").glob(f"{name}-*.html")
    return found


def begin(page: Page, name: str) -> None:
    page.tab.keyboard.press("l")
    page.until("document.activeElement.id === 'annotator'")  # nobody is named yet
    page.tab.keyboard.type(name)
    page.tab.keyboard.press("Enter")
    page.until("document.activeElement.id !== 'annotator'")


def given(page: Page) -> list[str]:
    shown = page.tab.locator(".given:visible").all_inner_texts()
    return [" ".join(text.split()).removeprefix("your label: ") for text in shown]


def test_by_keyboard_alone_and_back_into_the_corpus(
    page: Page, site: Path, corpus: Corpus, parameters: CorpusParameters, tmp_path: Path
) -> None:
    page.open(conversation(site, "a17"))
    begin(page, "Ann  Example")
    page.tab.keyboard.press("2")  # joy, and on to the next turn
    assert page.current() == "t2"
    page.tab.keyboard.press("j")  # the only emotion with that letter
    page.tab.keyboard.press("1")
    assert page.current() == "t4"
    page.tab.keyboard.press("s")  # two have it: a second time is the other one, and the turn stays
    page.tab.keyboard.press("s")
    assert page.current() == "t4"
    assert given(page) == ["joy", "joy", "neutral", "surprise"]
    page.tab.keyboard.press("u")
    assert given(page)[-1] == "sadness"
    page.tab.keyboard.press("ArrowUp")
    page.tab.keyboard.press("n")
    page.tab.keyboard.type("laughs, 2 of them")  # no key of the page while a note is written
    page.tab.keyboard.press("Enter")
    page.tab.keyboard.press("ArrowUp")
    page.tab.keyboard.press("0")  # no label
    assert given(page) == ["joy", "neutral ✎", "sadness"]
    page.tab.keyboard.press("Control+z")
    assert given(page) == ["joy", "joy", "neutral ✎", "sadness"]
    assert "4 labelled" in page.tab.locator("#progress").inner_text()
    page.tab.reload()
    page.tab.keyboard.press("l")
    assert given(page) == ["joy", "joy", "neutral ✎", "sadness"], "kept in the browser"
    with page.tab.expect_download() as download:
        page.tab.get_by_role("button", name="Save labels").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    assert file.name == "labels-calls-Ann-Example.json"
    done = import_labels(corpus, [file], parameters)
    assert (done.added.new, done.problems) == (4, ())
    labels = read_corpus(parameters).utterances.set_index("utterance_id")["emotion"].dropna().to_dict()
    assert labels == {
        "calls/a17/0": "joy", "calls/a17/1": "joy", "calls/a17/2": "neutral", "calls/a17/3": "sadness",
    }  # fmt: skip
    assert {one.annotator for one in read_annotations("calls")} == {"Ann Example"}
    assert [one.note for one in read_annotations("calls")] == ["", "", "laughs, 2 of them", ""]
    assert page.complaints == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in page.asked)


def test_nothing_is_given_without_a_name_and_annotators_do_not_see_each_other(page: Page, site: Path) -> None:
    page.open(conversation(site, "b2"))
    page.tab.keyboard.press("l")
    page.tab.keyboard.press("Escape")
    page.tab.keyboard.press("2")
    assert given(page) == []
    assert "Type your name first" in page.tab.locator("#state").inner_text()
    page.tab.keyboard.type("__proto__")  # the focus is there
    page.tab.keyboard.press("Enter")
    page.tab.keyboard.press("2")
    page.tab.keyboard.press("2")
    page.tab.fill("#annotator", "Bob")
    page.tab.keyboard.press("Enter")
    assert given(page) == []
    page.tab.keyboard.press("Home")
    page.tab.keyboard.press("3")
    assert given(page) == ["sadness"]
    page.tab.fill("#annotator", "__proto__")
    page.tab.keyboard.press("Enter")
    assert given(page) == ["joy", "joy"]
    assert page.tab.locator("#annotators option").evaluate_all("all => all.map(one => one.value)") == [
        "__proto__",
        "Bob",
    ]
    page.open(conversation(site, "c3"))  # the name goes along, the labels stay with their turns
    page.tab.keyboard.press("l")
    assert page.tab.input_value("#annotator") == "__proto__"
    assert given(page) == []
    assert page.complaints == []


def test_predictions_can_be_hidden(page: Page, site: Path) -> None:
    page.open(conversation(site, "a17"))
    begin(page, "Ann")
    assert page.tab.locator("#t1 .pill").is_visible()
    page.tab.check("#blind")
    for part in (".pill", ".mix", ".overview", ".evidence"):
        assert not page.tab.locator(part).first.is_visible(), part
    page.tab.keyboard.press("Escape")
    page.tab.keyboard.press("Escape")
    assert page.tab.locator("#t1 .pill").is_visible()


def test_outside_labelling_the_keys_are_the_pages(page: Page, site: Path) -> None:
    page.open(conversation(site, "a17"))
    page.tab.keyboard.press("2")
    page.tab.keyboard.press("u")
    assert not page.tab.locator("#labelling").is_visible()
    page.tab.keyboard.press("n")
    page.tab.wait_for_url("**/conversations/b2*")
    assert page.complaints == []


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (360, "dark"), (1200, "light")])
def test_the_bar_fits(browser, site: Path, width: int, scheme: str) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 740}, color_scheme=scheme, reduced_motion="reduce"
    )
    tab = context.new_page()
    tab.goto(conversation(site, "a17").as_uri())
    tab.get_by_role("button", name="Label", exact=True).click()
    tab.fill("#annotator", "Ann")
    tab.get_by_role("button", name="joy").click()
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    bar, turn = (tab.locator(name).bounding_box() for name in ("#labelling", ".turn.current"))
    assert bar is not None
    assert turn is not None
    assert bar["y"] + bar["height"] <= 741
    assert turn["y"] + min(turn["height"], 60) <= bar["y"] + 1, "the turn is not below the bar"
    assert all(box["height"] >= 36 for box in (one.bounding_box() for one in tab.locator(".choices button").all()))
    context.close()


def test_served_labels_are_kept_at_once_and_arrive_in_the_corpus(
    page: Page, served: str, corpus: Corpus, parameters: CorpusParameters
) -> None:
    seen = content(corpus, "calls/a17/3")
    add_annotations("calls", [Annotation("calls/a17/3", "joy", "Ann", "2026-01-01T00:00:00Z", "old.csv", seen, "Bob")])
    page.tab.goto(f"{served}/")
    page.tab.locator("#list a").first.click()
    page.tab.wait_for_url("**/conversations/a17*")
    begin(page, "Ann")
    page.until("document.querySelectorAll('.given:not([hidden])').length === 1")  # what was taken up before
    page.tab.keyboard.press("3")
    page.until("document.querySelector('#state').textContent === 'Saved.'")
    assert [(one.utterance_id, one.emotion, one.file) for one in read_annotations("calls")] == [
        ("calls/a17/0", "sadness", ""), ("calls/a17/3", "joy", "old.csv"),
    ]  # fmt: skip
    page.tab.keyboard.press("End")
    page.tab.keyboard.press("4")  # corrected
    page.until("document.querySelectorAll('.given:not([hidden])').length === 2")
    page.until("[...document.querySelectorAll('.given b')].at(-1).textContent === 'surprise'")
    until(lambda: read_annotations("calls")[1].emotion == "surprise")
    labels = read_corpus(parameters).utterances.set_index("utterance_id")["emotion"].dropna().to_dict()
    assert labels == {"calls/a17/0": "sadness", "calls/a17/3": "surprise"}
    page.tab.keyboard.press("u")
    until(lambda: read_annotations("calls")[1].emotion == "joy")
    page.tab.evaluate("document.querySelector('#t1 audio').load()")
    page.until("document.querySelector('#t1 audio').readyState > 0")  # the server has the sound
    assert page.complaints == []


def test_what_could_not_be_sent_is_sent_later(page: Page, served: str) -> None:
    page.tab.goto(f"{served}/")
    page.tab.locator("#list a").first.click()
    page.tab.wait_for_url("**/conversations/a17*")
    begin(page, "Ann")
    page.tab.context.set_offline(True)
    page.until("fetch('.').then(() => false, () => true)")  # the browser's network process hears of it a little later
    page.tab.keyboard.press("2")
    page.until("document.querySelector('#state').textContent.startsWith('Not saved, kept in this browser')")
    assert read_annotations("calls") == []
    page.tab.context.set_offline(False)
    page.until("document.querySelector('#state').textContent === 'Saved.'")
    assert [one.emotion for one in read_annotations("calls")] == ["joy"]


def until(true) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.02)
    raise AssertionError("never became true")


def ask(address: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    request = urllib.request.Request(address, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read(), dict(error.headers)


BEARER = {"Authorization": f"Bearer {TOKEN}"}
LABEL = {"utterance_id": "calls/a17/0", "emotion": "joy", "annotator": "Ann", "at": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("body", "headers", "status", "says"),
    [
        ({"labels": [LABEL]}, {}, 401, "token missing"),
        ({"labels": [LABEL]}, {"Authorization": "Bearer wrong"}, 401, "token missing"),
        ({"labels": [{**LABEL, "utterance_id": "calls/zz/0"}]}, BEARER, 422, "no such utterance"),
        ({"labels": [{**LABEL, "emotion": "envy"}]}, BEARER, 422, "envy: none of neutral"),
        ({"labels": [{**LABEL, "content": "0"}]}, BEARER, 422, "Load the page again"),
        ({"labels": [{**LABEL, "annotator": " "}]}, BEARER, 422, "name of who gives it"),
        ({"labels": [{**LABEL, "at": "now"}]}, BEARER, 422, "labels.0.at"),
        ({"labels": [{**LABEL, "other": 1}]}, BEARER, 422, "labels.0.other"),
        ({"labels": [LABEL] * 101}, BEARER, 422, "labels"),
        ([], BEARER, 422, ""),
        ({"labels": [{**LABEL, "note": "x" * MOST_BYTES}]}, BEARER, 413, "bytes of labels"),
        ({"labels": [LABEL]}, {**BEARER, "Host": "evil.example"}, 400, ""),
    ],
)
def test_what_the_server_refuses(served: str, body: object, headers: dict[str, str], status: int, says: str) -> None:
    found, answer, _ = ask(f"{served}/labels", json.dumps(body).encode(), **headers)
    assert (found, says in answer.decode()) == (status, True)
    assert read_annotations("calls") == []


def test_addresses_without_the_token_and_paths_out_of_it(served: str, folder: Path) -> None:
    (folder / "secret.wav").write_bytes(b"RIFF")
    wrong = served.replace(TOKEN, TOKEN + "X")
    for address in (f"{wrong}/index.html", f"{served.rpartition('/')[0]}/index.html", f"{wrong}/sound/a17.wav"):
        assert ask(address)[0] == 404
    for path in (
        "sound/secret.wav",
        "sound/../calls.csv",
        "sound/%2e%2e/calls.csv",
        "../../etc/passwd",
        "%2e%2e/scored",
    ):
        assert ask(f"{served}/{path}")[0] == 404, path
    assert ask(f"{served}/labels?annotator=Ann&corpus=../other", **BEARER)[0] == 422
    assert ask(f"{served}/labels?annotator=Ann&corpus=calls")[0] == 401
    status, body, headers = ask(f"{served}/index.html")
    assert status == 200
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    policy = re.search(rb'Content-Security-Policy" content="([^"]*)"', body)
    assert policy is not None
    assert b"default-src 'none'" in policy[1]
    assert b"connect-src 'self'" in policy[1]


def test_a_page_that_is_a_file_may_ask_nobody(site: Path) -> None:
    assert "connect-src" not in conversation(site, "a17").read_text()


def test_the_command_begins_where_it_can_and_says_why_not(
    scores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for token, folder, says in (
        ("short", scores, "shorter than 16 characters"),
        ("0123456789/abcdef?x", scores, "letters, digits"),
        (TOKEN, tmp_path, "Name a folder that `hbaf score` wrote"),
    ):
        monkeypatch.setenv("HBAF_SERVE_TOKEN", token)
        with pytest.raises(SystemExit) as ended:
            main(["review", str(folder), "--port", "0"])
        assert ended.value.code == 2
        assert says in capsys.readouterr().err


def test_the_command_serves_and_ends(scores: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "hbaf.cli", "review", str(scores), "--port", "0"],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "HBAF_SERVE_TOKEN": TOKEN},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert re.fullmatch(rf"http://127\.0\.0\.1:\d+/{TOKEN}/", address)
        until(lambda: ask(address)[0] == 200)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    finally:
        process.kill()
        process.communicate()
