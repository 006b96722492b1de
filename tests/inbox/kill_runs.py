"""Scheduled scoring killed with -9 at random moments and continued, against the same arrivals left alone.

    python tests/inbox/kill_runs.py FOLDER PACKAGE --kills 50 --seed 0 --database URL

Twelve arrivals: seven good calls, a copy of one, corrupt audio, a broken manifest, one that arrives while a run goes
on, and one whose transcript comes later. Everything heavy is imported once; each attempt is a forked process that is
really killed. Prints JSON: kills, rounds, seconds of one undisturbed run. With `--cuts` no process is killed:
the server ends the connections that hold a run's locks, and another run begins.
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

from tests.interruption.kills import finish, killed, start  # noqa: E402

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
    # A way out is a whole command, which names the source: another one where it was disturbed.
    source = os.environ["SOURCE"]
    entries = [
        (entry.name, entry.state, entry.reason.replace(source, "SOURCE"), entry.rows)
        for entry in Inbox(ledger).entries()
    ]
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


def undisturbed(folder: Path, package: Path, database: str | None) -> tuple[Any, float]:
    """What is left where nothing happens, and the seconds of its first run."""
    use(folder, "undisturbed", package, database)
    first_arrivals()
    began = time.monotonic()
    finish(score, folder)
    seconds = time.monotonic() - began
    one_arrives()
    transcript_comes()
    finish(score, folder)
    return finish(left, folder), seconds


def compare(found: Any, expected: Any, seed: int, round_: int) -> None:
    """Ends the script where something else is left."""
    if found != expected:
        raise SystemExit(f"seed {seed}, round {round_}:\n{found}\ninstead of\n{expected}")


def run(folder: Path, package: Path, kills: int, seed: int, database: str | None) -> dict[str, float]:
    chance = random.Random(seed)
    expected, seconds = undisturbed(folder, package, database)
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
        compare(finish(left, folder), expected, seed, rounds)
        rounds += 1
    return {"kills": done, "rounds": rounds, "seconds": round(seconds, 2), "rows": len(expected[0])}


def cut(engine: Any, chance: random.Random | None = None) -> int:
    """Ends the connections that hold the locks of a run, by chance only one of both; returns how many."""
    import sqlalchemy as sql

    # What is held for a transaction alone (`pg_advisory_xact_lock`) is a statement's, and no run's.
    held = """
        select distinct pid from pg_locks join pg_stat_activity using (pid)
        where locktype = 'advisory' and granted and state = 'idle'
    """
    with engine.begin() as connection:
        found = sorted(connection.scalars(sql.text(held)))
        chosen = found if chance is None or chance.random() < 0.5 else found[:1]
        return sum(bool(connection.scalar(sql.select(sql.func.pg_terminate_backend(pid)))) for pid in chosen)


def differing() -> Any:
    from hbaf.inbox.source import SourceParameters
    from hbaf.inbox.verify_scores import verify_agreement

    return [
        (one.conversation, one.fault)
        for one in verify_agreement(SourceParameters(url=os.environ["SOURCE"], name="calls"))
    ]


def two_runs(folder: Path, engine: Any, chance: random.Random, seconds: float) -> tuple[int, int]:
    """A run whose locks are cut, and one that begins meanwhile, whose locks may be cut too.

    Returns:
        Moments at which a lock was cut, and runs that noticed. A run may end with no other error.
    """
    results = [folder / f"run-{number}.json" for number in range(2)]
    for result in results:
        result.with_suffix(".error").unlink(missing_ok=True)
    processes = [start(score, results[0])]
    time.sleep(chance.uniform(0, 0.7 * seconds))
    if waits := chance.random() < 0.5:
        processes.append(start(score, results[1]))
        time.sleep(chance.uniform(0, 0.3 * seconds))
    cuts = bool(cut(engine, chance))
    if not waits:
        processes.append(start(score, results[1]))
    if chance.random() < 0.5:
        time.sleep(chance.uniform(0, seconds))
        cuts += bool(cut(engine, chance))
    for process in processes:
        os.waitpid(process, 0)
    errors = [error.read_text() for result in results if (error := result.with_suffix(".error")).exists()]
    for error in errors:
        if "LostLock: calls: this run has stopped" not in error.splitlines()[-1]:
            raise SystemExit(error)
    return cuts, len(errors)


def run_cut(folder: Path, package: Path, cuts: int, seed: int, database: str) -> dict[str, float]:
    """Two runs at a time, whose locks are cut at random moments, against the same arrivals left alone."""
    import sqlalchemy as sql

    chance = random.Random(seed)
    expected, seconds = undisturbed(folder, package, database)
    engine = sql.create_engine(database, poolclass=sql.NullPool)
    began, done, noticed, rounds = time.monotonic(), 0, 0, 0
    while done < cuts:
        use(folder, "disturbed", package, database)
        first_arrivals()
        for step in (nothing, one_arrives):
            step()
            if step is one_arrives:
                transcript_comes()
            hits, errors = two_runs(folder, engine, chance, seconds)
            done, noticed = done + hits, noticed + errors
        if wrong := finish(differing, folder):
            raise SystemExit(f"seed {seed}, round {rounds}: {wrong}")
        finish(score, folder)
        compare(finish(left, folder), expected, seed, rounds)
        rounds += 1
    took = round(time.monotonic() - began)
    return {"cuts": done, "noticed": noticed, "rounds": rounds, "seconds": took, "rows": len(expected[0])}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("package", type=Path)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--cuts", type=int, default=0, help="of the lock's connection, in place of kills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--database")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    # Imported before the forks: an attempt then costs what the run costs.
    import transformers  # noqa: F401

    import tests.inbox.conftest  # noqa: F401

    if asked.cuts:
        print(json.dumps(run_cut(asked.folder, asked.package, asked.cuts, asked.seed, asked.database)))
    else:
        print(json.dumps(run(asked.folder, asked.package, asked.kills, asked.seed, asked.database)))
