"""Scheduled scoring killed with -9 at random moments and continued, against the same arrivals left alone.

    python tests/inbox/kill_runs.py FOLDER PACKAGE --kills 50 --seed 0 --database URL

Twelve arrivals: seven good calls, a copy of one, corrupt audio, a broken manifest, one that arrives while a run goes
on, and one whose transcript comes later. Everything heavy is imported once; each attempt is a forked process that is
really killed. Prints JSON: kills, rounds, seconds of one undisturbed run.
"""

import argparse
import json
import os
import random
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.interruption.kills import finish, killed  # noqa: E402

# What two runs may write differently: when and by whom. Everything else must be equal.
PASSING = ["scored_at"]


def score() -> Any:
    from hbaf.inbox.scheduled import score_source
    from hbaf.inbox.source import SourceParameters

    parameters = SourceParameters(url=os.environ["SOURCE"], name="calls", quiet_minutes=0, shard=2)
    return score_source(parameters, purpose="research", workers=1).counts


def first_arrivals() -> None:
    from tests.inbox.conftest import call, tone

    source = Path(os.environ["SOURCE"])
    shutil.rmtree(source, ignore_errors=True)
    for number in range(7):
        call(source, f"2026/11/c{number}", 200 + 10 * number)
    call(source, "copy", 200, word="2026/11/c0")
    shutil.copyfile(source / "2026/11/c0.wav", source / "copy.wav")
    shutil.copyfile(source / "2026/11/c0.vtt", source / "copy.vtt")
    call(source, "corrupt", 330)
    (source / "corrupt.wav").write_bytes(b"RIFF" + bytes(4000))
    (source / "day").mkdir()
    (source / "day" / "calls.csv").write_text("speaker,text\nA,no dialogue column\n")
    tone(source / "late.wav", pitch=340)


def nothing() -> None:
    """All first arrivals lie there already."""


def one_arrives() -> None:
    from tests.inbox.conftest import call

    call(Path(os.environ["SOURCE"]), "meanwhile", 350)


def transcript_comes() -> None:
    from tests.inbox.conftest import transcript

    transcript(Path(os.environ["SOURCE"], "late.vtt"))


def left() -> Any:
    """What is published in both places, and the ledger; times do not count."""
    import pandas as pd
    import sqlalchemy as sql

    from hbaf.inbox.entries import Inbox
    from hbaf.inbox.ledger.database import Ledger

    folder = Path(os.environ["HBAF_HOME"], "published", "calls")
    rows = pd.read_parquet(folder)
    assert not rows["utterance_id"].duplicated().any(), "an utterance stands there twice"
    rows["probabilities"] = rows["probabilities"].map(lambda pairs: dict(pairs))
    parquet = plain(rows)
    ledger = Ledger.open()
    postgres = None
    if not ledger.embedded:
        with ledger.engine.begin() as connection:
            postgres = plain(pd.read_sql(sql.text("select * from hbaf.current"), connection))
        assert postgres == parquet, "PostgreSQL and Parquet differ"
    entries = [(entry.name, entry.state, entry.reason, entry.rows) for entry in Inbox(ledger).entries()]
    leftovers = list(Path(os.environ["HBAF_HOME"], "inbox", "work", "calls").iterdir())
    assert not leftovers, leftovers
    return parquet, sorted(entries)


def plain(rows: Any) -> Any:
    """Rows by id; numbers to 3 decimals, since the neighbours of a conversation in a batch move the last digits."""
    rows = rows.drop(columns=PASSING).sort_values("utterance_id")
    return [
        {name: neat(value) for name, value in row.items()}
        for row in json.loads(rows.to_json(orient="records", date_unit="us"))
    ]


def neat(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: neat(one) for name, one in sorted(value.items())}
    return f"{value:.3f}" if isinstance(value, float) else value


def use(folder: Path, name: str, package: Path, database: str | None) -> None:
    """A home and a source of that name, both new; the features are shared, as they would be after a kill."""
    home = folder / name
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    place = home / "champions" / "versions" / "hbaf-calls-v1" / ("0" * 32)
    shutil.copytree(package, place)
    said = {"name": "hbaf-calls", "version": "1", "run_id": "0" * 32}
    (home / "champions" / "only.json").write_text(json.dumps(said))
    os.environ |= {
        "HBAF_HOME": str(home),
        "SOURCE": str(folder / f"{name}-source"),
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
    }
    if database:
        os.environ["HBAF_SCORES_DATABASE"] = database
        import sqlalchemy as sql

        engine = sql.create_engine(database)
        clear(engine)
        engine.dispose()


def clear(engine: Any) -> None:
    """Takes ledger and result out of a database."""
    from hbaf.inbox.ledger.tables import TABLES

    TABLES.drop_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("drop schema if exists hbaf cascade")


def run(folder: Path, package: Path, kills: int, seed: int, database: str | None) -> dict[str, float]:
    chance = random.Random(seed)
    use(folder, "undisturbed", package, database)
    first_arrivals()
    began = time.monotonic()
    finish(score, folder)
    seconds = time.monotonic() - began
    one_arrives()
    transcript_comes()
    finish(score, folder)
    expected = finish(left, folder)
    done = rounds = 0
    while done < kills:
        use(folder, "disturbed", package, database)
        first_arrivals()
        for step in (nothing, one_arrives, transcript_comes):
            attempts = min(chance.randint(1, 2), kills - done)
            if step is transcript_comes or not attempts:
                step()
            for _ in range(attempts):
                # An attempt right after another has little left to do.
                after = chance.uniform(0, seconds if step is nothing else 0.6 * seconds)
                meanwhile = threading.Timer(chance.uniform(0, after), one_arrives if step is one_arrives else nothing)
                meanwhile.start()
                done += killed(score, folder, after)
                meanwhile.join()
        finish(score, folder)
        found = finish(left, folder)
        if found != expected:
            raise SystemExit(f"seed {seed}, round {rounds}:\n{found}\ninstead of\n{expected}")
        rounds += 1
    return {"kills": done, "rounds": rounds, "seconds": round(seconds, 2), "rows": len(expected[0])}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("package", type=Path)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--database")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    # Imported before the forks: an attempt then costs what the run costs.
    import transformers  # noqa: F401

    import tests.inbox.conftest  # noqa: F401

    print(json.dumps(run(asked.folder, asked.package, asked.kills, asked.seed, asked.database)))
