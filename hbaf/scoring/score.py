"""Champion x conversations -> predictions on disk and a report to look at."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa

from feature_store.store import FeatureStore
from hbaf.corpus.readers.audformat_database import write_audformat
from hbaf.corpus.schema import Corpus, CorpusReference
from hbaf.drift.familiarity import familiarity, warning
from hbaf.drift.reference import FOLDER, Reference, ReferenceMissing
from hbaf.features.columns import Columns, check_identities, default_store, extract_features
from hbaf.home import directory, portable, write_atomically
from hbaf.inference.predictor import Predictor, in_shards
from hbaf.registry.cached_champion import champion as find_champion
from hbaf.registry.models import RegisteredModel
from hbaf.report.pages import write_report
from hbaf.scoring.exports import export_scores
from hbaf.scoring.purpose import Purpose, check_purpose
from hbaf.scoring.schema import Provenance, as_rows
from hbaf.scoring.scores_folder import write_table
from hbaf.scoring.unscored import UNSCORED, mark_unscored
from hbaf.training.data import read_vectors

CARRIED = [
    "utterance_id", "corpus", "dialogue_id", "turn", "speaker", "text", "audio", "channel", "start", "end", "seconds",
    "loudness", "emotion", "source_id", "text_problem", "audio_problem", "audio_digest", "cue",
]  # fmt: skip
KeepFeatures = Literal["selected", "none"]
Players = Literal["link", "embed", "none"]  # how a report's players find the sound
SAMPLE = 1000  # utterances, by and large, by which a corpus is held against the model's own
LOOKED_AT = 3  # other turns that a conversation's page names as what a prediction looked at


@dataclass(frozen=True)
class Scores:
    """What scoring left behind.

    Attributes:
        folder: holds scores.parquet, scores.json (provenance) and, where asked for, scores.csv and report/.
        rows: utterances in the table.
        without_audio, without_text: how many of them lacked a modality.
        unscored: how many of `rows` got no label, for want of what the model was not trained to miss.
        exported: files in the forms of other tools, in `exports`.
        without_times: conversations without times, of which no subtitles or tiers could be written.
        champion_from: "cache" where MLflow could not be reached and its last champion scored.
        unlike: says so where the conversations are unlike those that the model was trained on; empty where not.
    """

    folder: Path
    rows: int
    dialogues: int
    without_audio: int
    without_text: int
    model: str
    report: Path | None
    champion_from: str = "registry"
    unscored: int = 0
    exported: int = 0
    without_times: int = 0
    unlike: str = ""


def score_corpus(
    reference: CorpusReference,
    *,
    purpose: Purpose,
    model: str | None = None,
    output: Path | None = None,
    csv: bool = False,
    audio: Players = "link",
    workers: int | None = None,
    keep_features: KeepFeatures = "selected",
    audformat: bool = False,
    export: Sequence[str] = (),
    progress: bool = False,
) -> Scores:
    """Scores every utterance of a prepared corpus with the champion.

    Args:
        purpose: what the scores are made for; kept with every row.
        model: registered name; default: the only one with a champion.
        output: folder for the results; default: in the home, by corpus and model.
        audio: how the report's players find the sound.
        keep_features: what stays in the store of the vectors computed here: what the model reads, so that a second
            run is quick, or nothing. Never the full audio rows where the model selects among them.
        audformat: also write the predictions as an audformat database, in the folder `audformat`.
        export: forms of other tools (`hbaf.scoring.exports`), in the folder `exports`.

    Raises:
        NoModelError: no champion, or several and none named; or MLflow is away and none was used here before.
        ExtractorMismatch: this installation makes other features than the model was trained on.
        PurposeError: a licence forbids the purpose.
    """
    corpus = reference.corpus
    chosen = find_champion(model)
    champion = chosen.model
    predictor = Predictor.load(champion.folder, attention=LOOKED_AT)
    check_purpose(purpose, predictor.package.facts)
    facts = predictor.package.facts
    with _columns(corpus, champion, predictor, workers, keep_features, progress) as columns:
        predicted = predictor.predict_in_shards(corpus, columns)
        unlike = _unlike(champion.folder, predictor, corpus, columns)
    scores = with_inputs(corpus, predicted, champion, facts.trained_to_miss)
    name = f"{corpus.name}-{reference.digest[:12]}-{champion.name}-{champion.run_id[:12]}"
    folder = (output or directory("scores", name)).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    scores = scores.assign(purpose=purpose)
    shared = Provenance(
        source=corpus.name,
        model_version=champion.label,
        run_id=champion.run_id,
        champion_from=chosen.champion_from,
        audio_features=facts.features.audio,
        text_features=facts.features.text,
        purpose=purpose,
        scored_at=datetime.now(UTC),
    )
    provenance = {**_provenance(corpus, reference, champion, predictor), "purpose": purpose}
    provenance["champion_from"] = chosen.champion_from
    write_table(_both_forms(scores, as_rows(scores, predictor.emotions, shared)), folder, csv)
    if audformat:
        write_audformat(scores, folder / "audformat")
    exported, without_times = export_scores(scores, folder, export) if export else ([], 0)
    report = write_report(
        scores,
        folder / "report",
        title=f"{corpus.name}: {len(scores)} utterances",
        corpus_root=corpus.root,
        emotions=predictor.emotions,
        provenance={key: str(value) for key, value in provenance.items()},
        audio=audio,
        notice=unlike,
    )
    result = Scores(
        folder=folder,
        rows=len(scores),
        dialogues=int(scores["dialogue_id"].nunique()),
        without_audio=int(scores["audio_problem"].notna().sum()),
        without_text=int(scores["text_problem"].notna().sum()),
        model=champion.label,
        report=report,
        champion_from=chosen.champion_from,
        unscored=int((scores["status"] == UNSCORED).sum()),
        exported=len(exported),
        without_times=without_times,
        unlike=unlike,
    )
    written = {**provenance, **{k: v for k, v in asdict(result).items() if k not in ("folder", "report")}}
    written |= {"corpus_root": portable(corpus.root), "audio": audio}  # to write the report anew without a row
    written["keep_features"] = keep_features
    write_atomically(folder / "scores.json", json.dumps(written, indent=1).encode())
    return result


def score_rows(
    corpus: Corpus,
    champion: RegisteredModel,
    predictor: Predictor,
    *,
    workers: int | None = None,
    keep_features: KeepFeatures = "selected",
    progress: bool = False,
) -> pd.DataFrame:
    """The utterance table with predictions: ids and inputs, label, probabilities, what each modality alone says."""
    with _columns(corpus, champion, predictor, workers, keep_features, progress) as columns:
        predicted = predictor.predict_in_shards(corpus, columns)
    return with_inputs(corpus, predicted, champion, predictor.package.facts.trained_to_miss)


@contextmanager
def _columns(
    corpus: Corpus,
    champion: RegisteredModel,
    predictor: Predictor,
    workers: int | None,
    keep_features: KeepFeatures,
    progress: bool,
) -> Iterator[Columns]:
    """The features that the champion reads, for as long as the block lasts where nothing is kept."""
    facts = predictor.package.facts
    check_identities(facts.features, facts.extractors)
    features = facts.features.model_copy(update={"workers": workers})
    selection = predictor.package.representation.audio
    with _store(features.store, keep_features) as store:
        yield extract_features(
            corpus, features, store, out_of_fold=False, selection=selection, run=champion.run_id, progress=progress
        )


def _unlike(folder: Path, predictor: Predictor, corpus: Corpus, columns: Columns) -> str:
    """The warning of `hbaf.drift.familiarity`, from a sample of whole conversations; empty without a reference."""
    table = corpus.utterances
    dialogues = table["dialogue_id"].unique()
    every = max(1, len(table) // SAMPLE)
    sample = corpus.with_utterances(table[table["dialogue_id"].isin(dialogues[::every])].reset_index(drop=True))
    part = next(in_shards(sample, SAMPLE))
    try:
        reference = Reference.load(folder / FOLDER)
    except ReferenceMissing:
        return ""
    if not reference.edges:
        return ""
    inputs = predictor.package.representation.transform(read_vectors(part, columns))
    return warning(familiarity(reference.edges, inputs), reference.corpus)


def with_inputs(
    corpus: Corpus, predicted: pd.DataFrame, champion: RegisteredModel, trained_to_miss: Mapping[str, bool]
) -> pd.DataFrame:
    """Predictions beside what was scored, with the model's name and the status of each row.

    Args:
        predicted: a row for each utterance, as `Predictor.predict` makes them.
        trained_to_miss: of the model's `PackageFacts`.
    """
    carried = corpus.utterances[[name for name in CARRIED if name in corpus.utterances]]
    scores = carried.merge(predicted, on="utterance_id", validate="one_to_one")
    return mark_unscored(scores.assign(model_version=champion.label, run_id=champion.run_id), trained_to_miss)


@contextmanager
def _store(url: str | None, keep: KeepFeatures) -> Iterator[FeatureStore]:
    """The store that the features of a scoring run go to."""
    if keep == "selected":
        yield default_store(url)
        return
    with tempfile.TemporaryDirectory(prefix="hbaf-features-") as folder:
        yield FeatureStore(folder)


def _provenance(
    corpus: Corpus, reference: CorpusReference, champion: RegisteredModel, predictor: Predictor
) -> dict[str, object]:
    facts = predictor.package.facts
    return {
        "corpus": corpus.name,
        "corpus_digest": reference.digest,
        "model": champion.label,
        "run": champion.run_id,
        "recipe": facts.training.recipe,
        "trained_on": f"{facts.origin.get('corpus')} {str(facts.origin.get('corpus_digest'))[:12]}",
        "audio_features": facts.features.audio,
        "text_features": facts.features.text,
        "licences": "; ".join(f"{name}: {licence}" for name, licence in facts.licences.items() if licence),
    }


def _both_forms(scores: pd.DataFrame, rows: pa.Table) -> pa.Table:
    """The rows in the schema of all scores, and what `hbaf score` gives beside it: `p_<emotion>`, `attention` ..."""
    for place, field in enumerate(rows.schema):
        if pa.types.is_dictionary(field.type):  # Parquet keeps few values small by itself
            rows = rows.set_column(place, field.name, rows[field.name].cast(pa.string()))
    for name in scores:
        if name not in rows.column_names:
            rows = rows.append_column(str(name), pa.Array.from_pandas(scores[name]))
    return rows
