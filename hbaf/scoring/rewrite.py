"""A folder of scores, and the same folder without some of its rows."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hbaf.home import located, write_atomically
from hbaf.report.pages import write_report
from hbaf.scoring.score import write_table


class ScoresError(LookupError):
    """A folder holds no scores."""


@dataclass(frozen=True, eq=False)
class ScoresFolder:
    """What `score_corpus` left.

    Attributes:
        table: scores.parquet.
        facts: scores.json; empty where scoring was killed before it.
    """

    folder: Path
    table: pd.DataFrame
    facts: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> "ScoresFolder":
        """Reads a folder.

        Raises:
            ScoresError: there is no scores.parquet.
        """
        if not (folder / "scores.parquet").exists():
            raise ScoresError(f"{folder}: no scores.parquet, so no scores. Name the folder that `hbaf score` printed.")
        facts = folder / "scores.json"
        return cls(
            folder, pd.read_parquet(folder / "scores.parquet"), json.loads(facts.read_text()) if facts.exists() else {}
        )

    @property
    def corpus_digest(self) -> str:
        """Digest of the corpus that was scored; empty if unknown."""
        return str(self.facts.get("corpus_digest", ""))

    @property
    def emotions(self) -> tuple[str, ...]:
        """Emotions in the order of the columns."""
        return tuple(str(name)[2:] for name in self.table if str(name).startswith("p_"))


def rewrite_scores(scores: ScoresFolder, gone: np.ndarray) -> None:
    """Writes table, CSV and report anew without some rows; removes them when none is left.

    Args:
        gone: (rows,) bool.
    """
    folder, table = scores.folder, scores.table[~gone].reset_index(drop=True)
    # A second form of the same rows; scoring again makes it.
    shutil.rmtree(folder / "audformat", ignore_errors=True)
    if table.empty:
        for name in ("scores.csv", "scores.json", "scores.parquet"):
            (folder / name).unlink(missing_ok=True)
        shutil.rmtree(folder / "report", ignore_errors=True)
        if not any(folder.iterdir()):
            folder.rmdir()
        return
    if (folder / "report" / "index.html").exists():
        root = scores.facts.get("corpus_root")
        write_report(
            table,
            folder / "report",
            title=f"{scores.facts.get('corpus', 'scores')}: {len(table)} utterances",
            corpus_root=Path(located(root)) if root else None,
            emotions=scores.emotions,
            provenance={name: str(value) for name, value in scores.facts.items() if name not in NOT_SHOWN},
            audio=scores.facts.get("audio", "none"),
        )
    if scores.facts:
        counts = {
            "rows": len(table),
            "dialogues": int(table["dialogue_id"].nunique()),
            "without_audio": int(table["audio_problem"].notna().sum()),
            "without_text": int(table["text_problem"].notna().sum()),
        }
        write_atomically(folder / "scores.json", json.dumps({**scores.facts, **counts}, indent=1).encode())
    write_table(table, folder, (folder / "scores.csv").exists())


NOT_SHOWN = ("rows", "dialogues", "without_audio", "without_text", "corpus_root", "audio", "keep_features")
