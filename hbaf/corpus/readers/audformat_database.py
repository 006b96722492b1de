"""audformat databases, the field's own exchange format: read as a corpus, and predictions written back as a table.

A database is a header (db.yaml) and tables whose rows are files or segments of files. Columns are recognised by their
own name or their scheme's: emotion, speaker, text (transcription), dialogue, turn, channel, split. What a table says of
a file holds for all its segments. Splits come from a column or from the tables' own split. For anything else say it in
`columns`, e.g. {"emotion.categories": "emotion"}, or for one table alone {"gold/emotion.categories": "emotion"}.

The header is read with a safe loader, and tables only from csv or parquet: the library itself would run what a crafted
header or a pickled table names.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hbaf.corpus.confined import read_confined
from hbaf.corpus.labels import LabelMap, noted, plain_label
from hbaf.corpus.readers.audformat_tables import FOLDER, RECOGNISED, label_order, our_columns, segments_of, values_of
from hbaf.corpus.readers.folder import safe_name
from hbaf.corpus.schema import SPLITS, UNNAMED_SPEAKER, Corpus, CorpusError, as_utterances, empty_splits
from hbaf.corpus.sound.find_audio import AudioFinder
from hbaf.corpus.text.manifest_values import clean, text_or_problem
from hbaf.files import one_place
from hbaf.parameters import CorpusParameters

OWN_NAME = "hbaf-predictions"


def read_audformat(parameters: CorpusParameters) -> Corpus:
    """Reads the database below `parameters.root`; `parameters.manifest` is the header, db.yaml by default.

    Utterances are the rows of the tables with emotions, or without any the rows of those with text, or of all. Without
    a dialogue column the segments of one file are a dialogue, and a file without segments is one of its own: files side
    by side in a folder are mostly no conversation. Where they are, say so: `columns` {"@folder": "dialogue"}.
    Turns are ordered by the turn column, else by start, else by file name. With `parameters.emotions` other labels
    ("no agreement") are unlabelled context.

    Raises:
        CorpusError: audformat is not installed, no database, a table stored as pickle alone, tables that disagree
            about a label or a split, or a dialogue in two splits.
    """
    if parameters.root is None:
        raise CorpusError("the reader `audformat` needs a root: the folder with db.yaml.")
    root = one_place(parameters.root)
    header = root / (parameters.manifest or "db.yaml")
    database = load_database(header)
    columns = our_columns(header, database, parameters.columns)
    segments = segments_of(header, database, columns)
    values = {name: values_of(header, database, columns, name, segments) for name in RECOGNISED}
    labels = LabelMap(parameters)
    found = [labels(label or "") or None for label in values["emotion"]]
    emotions = tuple(plain_label(name) for name in parameters.emotions) or label_order(database, columns, found, labels)
    finder, name = AudioFinder(root), safe_name(parameters.name or database.name or root.name)
    rows: list[dict[str, Any]] = []
    for number, (file, start, end) in enumerate(segments):
        text, text_problem = text_or_problem(clean(values["text"][number] or ""), parameters.limits)
        audio, audio_problem = finder.find(file)
        rows.append(
            {
                "corpus": name,
                "dialogue_id": values["dialogue"][number] or _dialogue(file, FOLDER in parameters.columns),
                "order": (_number(values["turn"][number]) or 0.0, start or 0.0, file),
                "speaker": values["speaker"][number] or UNNAMED_SPEAKER,
                "text": text,
                "text_problem": text_problem,
                "audio": audio,
                "audio_problem": audio_problem,
                "channel": _number(values["channel"][number]),
                "start": start,
                "end": end,
                "emotion": found[number] if found[number] in emotions else None,
                "source_id": file if start is None else f"{file}#{start:g}",
                "split": values["split"][number],
            }
        )
    table = pd.DataFrame(rows).sort_values(["dialogue_id", "order"], kind="stable", ignore_index=True)
    table["turn"] = table.groupby("dialogue_id").cumcount()
    corpus = Corpus(
        name=name,
        root=root,
        utterances=as_utterances(table.drop(columns=["order", "split"])),
        splits=_splits(header, table),
        emotions=emotions,
        licence=str(database.license or ""),
    )
    return noted(corpus, labels)


def load_database(header: Path) -> Any:
    """The database with all its tables, without ever running what it names.

    Raises:
        CorpusError: audformat is not installed, no database, or a table that is not stored as csv or parquet.
    """
    try:
        import audformat
        import yaml
    except ImportError as error:
        raise CorpusError("the reader `audformat` needs the library: pip install 'hbaf[audformat]'.") from error
    if not os.path.lexists(header):
        raise CorpusError(f"{header}: no such header. The root is the folder with db.yaml and the tables.")
    content = read_confined(header, header.parent)
    try:
        # audformat's own loader makes any Python object that the header asks for.
        database = audformat.Database.load_header_from_yaml(yaml.safe_load(content.decode("utf-8")))
    except Exception as error:  # a foreign header can be wrong in any way
        raise CorpusError(f"{header}: not the header of an audformat database ({str(error)[:100]}).") from error
    with tempfile.TemporaryDirectory() as folder:
        for table_id in [*database.misc_tables, *database.tables]:
            copy = _copy_table(header, table_id, Path(folder))
            try:
                database[table_id].load(str(copy))
            except Exception as error:
                raise CorpusError(f"{header}: table {table_id!r} cannot be read ({str(error)[:100]}).") from error
    return database


def _copy_table(header: Path, table_id: str, folder: Path) -> Path:
    """A copy without the pickled form, which audformat would prefer; the path has no suffix, as audformat wants it."""
    for suffix in (".parquet", ".csv"):
        file = header.parent / f"{header.stem}.{table_id}{suffix}"
        if file.parent == header.parent and os.path.lexists(file):
            (folder / f"{table_id}{suffix}").write_bytes(read_confined(file, header.parent))
            return folder / table_id
    raise CorpusError(
        f"{header}: table {table_id!r} is stored neither as csv nor as parquet, and pickled tables are not read. Save "
        "the database again where you trust it: db.save(folder, storage_format='csv')."
    )


def _dialogue(file: str, by_folder: bool) -> str:
    path = Path(file)
    return path.parent.as_posix() if by_folder or not path.name else path.with_suffix("").as_posix()


def _splits(header: Path, table: pd.DataFrame) -> pd.DataFrame:
    named = table.loc[table["split"].notna(), ["dialogue_id", "split"]].drop_duplicates()
    if named.empty:
        return empty_splits()
    unknown = sorted(set(named["split"]) - set(SPLITS))
    if unknown:
        raise CorpusError(f"{header}: {unknown[0]!r} is no split. There are: {', '.join(SPLITS)}.")
    doubled = named.loc[named["dialogue_id"].duplicated(), "dialogue_id"]
    if len(doubled):
        raise CorpusError(
            f"{header}: dialogue {doubled.iloc[0]!r} is in two splits. A dialogue belongs to one; check what makes a "
            "dialogue here (`columns`)."
        )
    return named.sort_values("dialogue_id", ignore_index=True).astype("str")


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def write_audformat(scores: pd.DataFrame, folder: Path) -> Path:
    """Writes predictions as an audformat database of their own.

    `Database.update` merges it into another once `usage` and `license` are set to that one's, which audformat asks for.

    Args:
        scores: `utterance_id`, `audio` (path as in the corpus), `label`, `confidence`, `p_<emotion>` for every emotion;
            `start` and `end` (seconds) are optional.
        folder: made if absent. Table `predictions`: file or segment -> emotion, confidence, one probability per
            emotion, utterance_id. Utterances that audformat cannot index, because they have no audio or are the second
            on one segment (another channel), are in the table `predictions.unindexed` by utterance_id.

    Returns:
        The header that was written.

    Raises:
        CorpusError: audformat is not installed, a column is absent, or another database is in the folder.
    """
    try:
        import audformat
        import yaml
    except ImportError as error:
        raise CorpusError("writing audformat needs the library: pip install 'hbaf[audformat]'.") from error
    probabilities = [column for column in map(str, scores) if column.startswith("p_")]
    absent = {"utterance_id", "audio", "label", "confidence"} - set(scores)
    if absent or not probabilities:
        raise CorpusError(f"these are no scores: no column {', '.join(sorted(absent)) or 'p_<emotion>'}.")
    header = folder / "db.yaml"
    if header.exists() and (yaml.safe_load(header.read_text(encoding="utf-8")) or {}).get("name") != OWN_NAME:
        raise CorpusError(f"{header}: another database is here and would be replaced. Choose an empty folder.")
    database = audformat.Database(
        OWN_NAME,
        source="hbaf",
        usage=audformat.define.Usage.OTHER,  # audformat's default claims that anybody may do anything with them
        license="that of the corpus and of the model",
        description="Predicted emotions and their probabilities.",
    )
    emotions = [column.removeprefix("p_") for column in probabilities]
    database.schemes["emotion"] = audformat.Scheme("str", labels=emotions)
    database.schemes["probability"] = audformat.Scheme("float", minimum=0, maximum=1)
    database.schemes["utterance_id"] = audformat.Scheme("str")
    rows = scores.assign(start=scores.get("start", np.nan), end=scores.get("end", np.nan))
    unindexed = rows["audio"].isna() | rows.duplicated(["audio", "start", "end"])
    _add_table(database, "predictions", _index_of(rows[~unindexed]), rows[~unindexed], probabilities)
    if unindexed.any():
        by_id = pd.Index(rows.loc[unindexed, "utterance_id"].astype("string"), name="utterance_id")
        _add_table(database, "predictions.unindexed", by_id, rows[unindexed], probabilities)
    for earlier in folder.glob("db.predictions*.csv"):
        earlier.unlink()
    database.save(str(folder), storage_format="csv")
    return header


def _index_of(rows: pd.DataFrame) -> pd.Index:
    import audformat

    files = rows["audio"].astype(str).tolist()
    if rows["start"].isna().all() and rows["end"].isna().all():
        return audformat.filewise_index(files)
    starts = pd.to_timedelta(rows["start"].fillna(0.0), unit="s")
    return audformat.segmented_index(files, list(starts), list(pd.to_timedelta(rows["end"], unit="s")))


def _add_table(database: Any, name: str, index: pd.Index, rows: pd.DataFrame, probabilities: list[str]) -> None:
    import audformat

    misc = list(index.names) == ["utterance_id"]
    table = database[name] = audformat.MiscTable(index) if misc else audformat.Table(index)
    schemes = {"label": "emotion", "confidence": "probability", **dict.fromkeys(probabilities, "probability")}
    for column, scheme in schemes.items():
        name_there = "emotion" if column == "label" else column
        table[name_there] = audformat.Column(scheme_id=scheme)
        table[name_there].set(rows[column].tolist())
    if not misc:
        table["utterance_id"] = audformat.Column(scheme_id="utterance_id")
        table["utterance_id"].set(rows["utterance_id"].tolist())
