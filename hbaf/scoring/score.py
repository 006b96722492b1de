"""Champion x conversations -> predictions on disk and a report to look at."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
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
from hbaf.features.hub_classifiers import HubClassifier
from hbaf.home import directory, portable, write_atomically
from hbaf.inference.predictor import Predictor, in_shards
from hbaf.registry.cached_champion import Champion
from hbaf.registry.cached_champion import champion as find_champion
from hbaf.registry.models import RegisteredModel, asked_model
from hbaf.report.pages import write_report
from hbaf.scoring.exports import export_scores
from hbaf.scoring.hub import hub_model, is_hub
from hbaf.scoring.purpose import Purpose, check_purpose
from hbaf.scoring.schema import Provenance, as_rows
from hbaf.scoring.scores_folder import links_of, write_table
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
        champion_from: "cache" where MLflow could not be reached and its last champion scored, "hub" for a published
            model.
        notice: a doubt about all of them: they are unlike what the model was trained on, or nobody trained it on
            such data at all; empty without.
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
    notice: str = ""


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
    beside: str | None = None,
    progress: bool = False,
) -> Scores:
    """Scores every utterance of a prepared corpus with the champion.

    Args:
        purpose: what the scores are made for; kept with every row.
        model: registered name, whose champion scores, or `name/version`; default: the only champion. `hub:ID`: a
            published classifier.
        output: folder for the results; default: in the home, by corpus and model.
        audio: how the report's players find the sound.
        keep_features: what stays in the store of the vectors computed here: what the model reads, so that a second
            run is quick, or nothing. Never the full audio rows where the model selects among them.
        audformat: also write the predictions as an audformat database, in the folder `audformat`.
        export: forms of other tools (`hbaf.scoring.exports`), in the folder `exports`.
        beside: a second model, named as `model`: the report shows where the two differ, and the table has the columns
            `beside_model`, `beside_label` and `beside_confidence`.

    Raises:
        NoModelError: no champion, or several and none named; or MLflow is away and none was used here before.
        ExtractorMismatch: this installation makes other features than the model was trained on.
        PurposeError: a licence forbids the purpose.
    """
    corpus = reference.corpus
    how = _How(workers, keep_features, progress)
    judged = _judge(corpus, model, purpose, how)
    second = None if beside is None else _judge(corpus, beside, purpose, how)
    name = f"{corpus.name}-{reference.digest[:12]}-{judged.folder}"
    folder = (output or directory("scores", name)).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    scores = judged.scores.assign(purpose=purpose)
    if second is not None:
        scores = _beside(scores, second)
    shared = Provenance(
        source=corpus.name,
        model_version=judged.model,
        run_id=judged.run_id,
        champion_from=judged.champion_from,
        audio_features=judged.audio_features,
        text_features=judged.text_features,
        purpose=purpose,
        scored_at=datetime.now(UTC),
    )
    provenance = {
        "corpus": corpus.name,
        "corpus_digest": reference.digest,
        "model": judged.model,
        "run": judged.run_id,
        **judged.facts,
        "audio_features": judged.audio_features,
        "text_features": judged.text_features,
        "purpose": purpose,
        "champion_from": judged.champion_from,
        "beside": "" if second is None else second.model,
    }
    write_table(_both_forms(scores, as_rows(scores, judged.emotions, shared)), folder, csv)
    if audformat:
        write_audformat(scores, folder / "audformat")
    exported, without_times = export_scores(scores, folder, export) if export else ([], 0)
    report = write_report(
        scores,
        folder / "report",
        title=f"{corpus.name}: {len(scores)} utterances",
        corpus_root=corpus.root,
        emotions=judged.emotions,
        provenance={key: str(value) for key, value in provenance.items() if value},
        audio=audio,
        notice=judged.notice,
        links=links_of(folder, judged.model, judged.run_id),
    )
    result = Scores(
        folder=folder,
        rows=len(scores),
        dialogues=int(scores["dialogue_id"].nunique()),
        without_audio=int(scores["audio_problem"].notna().sum()),
        without_text=int(scores["text_problem"].notna().sum()),
        model=judged.model,
        report=report,
        champion_from=judged.champion_from,
        unscored=int((scores["status"] == UNSCORED).sum()),
        exported=len(exported),
        without_times=without_times,
        notice=judged.notice,
    )
    written = {**provenance, **{k: v for k, v in asdict(result).items() if k not in ("folder", "report")}}
    written |= {"corpus_root": portable(corpus.root), "audio": audio}  # to write the report anew without a row
    written["keep_features"] = keep_features
    write_atomically(folder / "scores.json", json.dumps(written, indent=1).encode())
    return result


@dataclass(frozen=True)
class _How:
    workers: int | None
    keep_features: KeepFeatures
    progress: bool


@dataclass(frozen=True, eq=False)
class _Judged:
    """What a model said of a corpus, and what there is to know of it.

    Attributes:
        folder: how its scores' folder is called in the home.
        facts: shown as provenance, beside what all models have.
        notice: a doubt about all scores.
    """

    scores: pd.DataFrame
    emotions: tuple[str, ...]
    model: str
    run_id: str
    champion_from: str
    audio_features: str
    text_features: str
    folder: str
    facts: Mapping[str, object]
    notice: str


def _judge(corpus: Corpus, model: str | None, purpose: Purpose, how: _How) -> _Judged:
    return _by_hub(corpus, str(model), purpose, how) if is_hub(model) else _by_champion(corpus, model, purpose, how)


def _beside(scores: pd.DataFrame, second: _Judged) -> pd.DataFrame:
    """The rows with what a second model says of them."""
    theirs = second.scores[["utterance_id", "label", "confidence"]].assign(model=second.model)
    return scores.merge(
        theirs.rename(columns={name: f"beside_{name}" for name in ("label", "confidence", "model")}),
        on="utterance_id", validate="one_to_one",
    )  # fmt: skip


def _by_champion(corpus: Corpus, model: str | None, purpose: Purpose, how: _How) -> _Judged:
    named = model is not None and "/" in model
    chosen = Champion(asked_model(model)) if named else find_champion(model)
    champion = chosen.model
    predictor = Predictor.load(champion.folder, attention=LOOKED_AT)
    facts = predictor.package.facts
    check_purpose(purpose, facts)
    with _columns(corpus, champion, predictor, how) as columns:
        predicted = predictor.predict_in_shards(corpus, columns)
        notice = _unlike(champion.folder, predictor, corpus, columns)
    return _Judged(
        scores=with_inputs(corpus, predicted, champion.label, champion.run_id, facts.trained_to_miss),
        emotions=predictor.emotions,
        model=champion.label,
        run_id=champion.run_id,
        champion_from=chosen.champion_from,
        audio_features=facts.features.audio,
        text_features=facts.features.text,
        folder=f"{champion.name}-{champion.run_id[:12]}",
        facts={
            "recipe": facts.training.recipe,
            "trained_on": f"{facts.origin.get('corpus')} {str(facts.origin.get('corpus_digest'))[:12]}",
            "licences": "; ".join(f"{name}: {licence}" for name, licence in facts.licences.items() if licence),
        },
        notice=notice,
    )


def _by_hub(corpus: Corpus, name: str, purpose: Purpose, how: _How) -> _Judged:
    model = hub_model(name, corpus.labels, purpose)
    with _store(None, how.keep_features) as store:
        predicted = model.predict(corpus, store, workers=how.workers, progress=how.progress)
    return _Judged(
        scores=with_inputs(corpus, predicted, model.label, "", model.trained_to_miss),
        emotions=model.emotions,
        model=model.label,
        run_id="",
        champion_from="hub",
        audio_features=name if model.modality == "audio" else "",
        text_features=name if model.modality == "text" else "",
        folder=f"hub-{sha256(model.label.encode()).hexdigest()[:12]}",
        facts={"trained_on": "not your data", "licences": HubClassifier.licence},
        notice=model.notice,
    )


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
    with _columns(corpus, champion, predictor, _How(workers, keep_features, progress)) as columns:
        predicted = predictor.predict_in_shards(corpus, columns)
    misses = predictor.package.facts.trained_to_miss
    return with_inputs(corpus, predicted, champion.label, champion.run_id, misses)


@contextmanager
def _columns(corpus: Corpus, champion: RegisteredModel, predictor: Predictor, how: _How) -> Iterator[Columns]:
    """The features that the champion reads, for as long as the block lasts where nothing is kept."""
    facts = predictor.package.facts
    check_identities(facts.features, facts.extractors)
    features = facts.features.model_copy(update={"workers": how.workers})
    selection = predictor.package.representation.audio
    with _store(features.store, how.keep_features) as store:
        yield extract_features(
            corpus, features, store, out_of_fold=False, selection=selection, run=champion.run_id, progress=how.progress
        )


def _unlike(folder: Path, predictor: Predictor, corpus: Corpus, columns: Columns) -> str:
    """The warning of `hbaf.drift.familiarity`, from a sample of whole conversations; empty without a reference."""
    try:
        reference = Reference.load(folder / FOLDER)
    except ReferenceMissing:
        return ""
    if not reference.edges:
        return ""
    table = corpus.utterances
    dialogues = table["dialogue_id"].unique()
    every = max(1, len(table) // SAMPLE)
    sample = corpus.with_utterances(table[table["dialogue_id"].isin(dialogues[::every])].reset_index(drop=True))
    part = next(in_shards(sample, SAMPLE))
    inputs = predictor.package.representation.transform(read_vectors(part, columns))
    return warning(familiarity(reference.edges, inputs), reference.corpus)


def with_inputs(
    corpus: Corpus, predicted: pd.DataFrame, model: str, run_id: str, trained_to_miss: Mapping[str, bool]
) -> pd.DataFrame:
    """Predictions beside what was scored, with the model and the status of each row.

    Args:
        predicted: a row for each utterance, as `Predictor.predict` makes them.
        model: as `model_version` names it.
        run_id: that made it.
        trained_to_miss: of the model's `PackageFacts`.
    """
    carried = corpus.utterances[[name for name in CARRIED if name in corpus.utterances]]
    scores = carried.merge(predicted, on="utterance_id", validate="one_to_one")
    return mark_unscored(scores.assign(model_version=model, run_id=run_id), trained_to_miss)


@contextmanager
def _store(url: str | None, keep: KeepFeatures) -> Iterator[FeatureStore]:
    """The store that the features of a scoring run go to."""
    if keep == "selected":
        yield default_store(url)
        return
    with tempfile.TemporaryDirectory(prefix="hbaf-features-") as folder:
        yield FeatureStore(folder)


def _both_forms(scores: pd.DataFrame, rows: pa.Table) -> pa.Table:
    """The rows in the schema of all scores, and what `hbaf score` gives beside it: `p_<emotion>`, `attention` ..."""
    for place, field in enumerate(rows.schema):
        if pa.types.is_dictionary(field.type):  # Parquet keeps few values small by itself
            rows = rows.set_column(place, field.name, rows[field.name].cast(pa.string()))
    for name in scores:
        if name not in rows.column_names:
            rows = rows.append_column(str(name), pa.Array.from_pandas(scores[name]))
    return rows
