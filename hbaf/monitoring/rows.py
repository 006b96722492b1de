"""The rows that a model scored within some days: folders of `hbaf score` and datasets of scheduled scoring alike."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from hbaf.home import home_folder
from hbaf.inbox.ledger import database_address
from hbaf.inbox.publish.parquet import SCHEMA_FILE, ParquetDataset
from hbaf.inbox.publish.schema import as_scores
from hbaf.registry.models import RegisteredModel
from hbaf.scoring.rewrite import ScoresError, ScoresFolder


def scored_rows(model: RegisteredModel, since: float, until: float, places: Sequence[str] = ()) -> pd.DataFrame:
    """Rows of that model, by the run that made it, each utterance once, the latest score of it.

    Args:
        since, until: seconds since 1970.
        places: folders or URLs; default: every folder of scores and every published source of this home.

    Raises:
        ScoresError: a place that was named holds no scores.
    """
    found = [_rows_at(place, model, since, until) for place in places or _known_places()]
    found = [rows for rows in found if len(rows)]
    if not found:
        return pd.DataFrame()
    rows = pd.concat(found, ignore_index=True).sort_values("scored_at", kind="stable")
    return rows.drop_duplicates("utterance_id", keep="last").sort_values(["corpus", "dialogue_id", "turn"])


def _known_places() -> list[str]:
    folders = sorted(str(file.parent) for file in (home_folder() / "scores").glob("*/scores.parquet"))
    return [*folders, *_published_places()]


def _rows_at(place: str, model: RegisteredModel, since: float, until: float) -> pd.DataFrame:
    folder = Path(place)
    if (folder / "scores.parquet").exists():
        opened = ScoresFolder.open(folder)
        rows = opened.table
        if "run_id" not in rows:  # an older hbaf named it beside the table alone
            rows = rows.assign(run_id=opened.facts.get("run"))
        written = (folder / "scores.parquet").stat().st_mtime
        rows = rows.assign(scored_at=datetime.fromtimestamp(written, UTC))
    else:
        rows = _published(place)
    if rows.empty:
        return rows
    at = pd.to_datetime(rows["scored_at"], utc=True)
    first, last = (pd.Timestamp(moment, unit="s", tz="UTC") for moment in (since, until))
    return rows[(rows["run_id"] == model.run_id) & (at >= first) & (at <= last)]


def _published(place: str) -> pd.DataFrame:
    """Every row of a dataset, part by part."""
    if "://" not in place and not (Path(place) / SCHEMA_FILE).exists():
        raise ScoresError(f"{place}: neither scores.parquet nor {SCHEMA_FILE}, so no scores. Name a folder of scores.")
    tables = [as_scores(table) for table in ParquetDataset(place).tables()]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _published_places() -> list[str]:
    if database_address() is None and not (home_folder() / "inbox" / "ledger.sqlite").exists():
        return []
    from hbaf.inbox.ledger import Ledger
    from hbaf.inbox.scoring_runs import sources

    return [source.published for source in sources(Ledger.open()) if source.published]
