"""One composition of the stages: verbs print what it returns, flows run its steps as tasks, notebooks call it.

    train("example", "demo")                # prepare, check, extract, train, register
    promote("example")                      # prepare, choose the best run, extract, judge, settle
    score("~/calls", purpose="research")    # prepare, score, retain

A composition runs each step through `step`. Steps are functions of the packages imported here, and three of this file.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Protocol, TypeVar

from hbaf.parameters import (
    ComparisonParameters,
    CorpusParameters,
    FeatureParameters,
    FineTuneParameters,
    PromotionParameters,
    SearchParameters,
    Settings,
    ValidationParameters,
    WordsParameters,
    from_recipe,
)

if TYPE_CHECKING:
    from hbaf.comparison.bench import Say
    from hbaf.comparison.reported import Report
    from hbaf.corpus.schema import CorpusReference
    from hbaf.features.columns import Columns
    from hbaf.inference.predictor import Predictor
    from hbaf.labelling.agreement import Agreement
    from hbaf.labelling.curve import Curve
    from hbaf.labelling.importing import Imported
    from hbaf.labelling.sample import Chosen
    from hbaf.privacy.receipts import Receipt
    from hbaf.promotion.verdict import Verdict
    from hbaf.registry.runs import RunReference
    from hbaf.scoring.purpose import Purpose
    from hbaf.scoring.score import KeepFeatures, Players, Scores
    from hbaf.search.end import StudyOutcome
    from hbaf.search.run import Workers
    from hbaf.training.evaluate import SplitPredictions
    from hbaf.training.finetuning.finetune import EncoderReference
    from hbaf.transcription.transcribe import Transcribed
    from hbaf.validation import ValidationResult

P = ParamSpec("P")
T = TypeVar("T")
Source = CorpusParameters | str | Path  # a string is `example`, `imported/NAME` or a path
Changes = Mapping[str, Mapping[str, Any]]  # settings over a recipe's, by stage: {"model": {"tau": 0.2}}
RULES = ValidationParameters()
PROMOTION = PromotionParameters()


class Step(Protocol):
    """How a step is run: as it is, or wrapped, as flows make a task of it."""

    def __call__(self, function: Callable[P, T], /) -> Callable[P, T]:
        """The step as it is to be called."""
        ...


def plainly(function: Callable[P, T], /) -> Callable[P, T]:
    """A step as it is."""
    return function


@dataclass(frozen=True)
class Validated:
    """A saved corpus and what the rules say of it.

    Attributes:
        run_id: of the validation in MLflow; None where it was not asked for.
    """

    reference: "CorpusReference"
    result: "ValidationResult"
    run_id: str | None


@dataclass(frozen=True)
class Extracted:
    """A saved corpus and the columns that a model reads."""

    reference: "CorpusReference"
    columns: "Columns"


@dataclass(frozen=True)
class Trained:
    """A finished run, registered as a candidate.

    Attributes:
        run: with the verdict on it, `run.verdict`.
        settings: as trained.
        model, version: of the registered model; the version has no alias before it is promoted.
        chosen: why the variant is not the default one, in words; "" where nothing was chosen.
    """

    reference: "CorpusReference"
    settings: Settings
    run: "RunReference"
    model: str
    version: str
    chosen: str = ""


@dataclass(frozen=True)
class Evaluated:
    """A model's predictions of a labelled split, `interval` that of weighted F1 at 95 %."""

    corpus: str
    model: str
    split: Literal["dev", "test"]
    predictions: "SplitPredictions"
    interval: tuple[float, float]


@dataclass(frozen=True)
class Compared:
    """Compared systems, on which corpora."""

    references: "tuple[CorpusReference, ...]"
    report: "Report"


@dataclass(frozen=True)
class Scored:
    """Scores on disk, and what retention removed after them; None where nothing was as old."""

    scores: "Scores"
    forgotten: "Receipt | None"


@dataclass(frozen=True)
class Sampled:
    """Conversations to label.

    Attributes:
        open_turns: how many usable turns of the corpus have no label.
        scored: whether scores of the corpus were known.
        files: that were written; `without_times`: conversations of which no tiers could be.
    """

    chosen: "tuple[Chosen, ...]"
    open_turns: int
    scored: bool
    files: tuple[Path, ...] = ()
    without_times: int = 0


@dataclass(frozen=True)
class FineTuned:
    """A fine-tuned encoder and the corpus that it learned from."""

    reference: "CorpusReference"
    encoder: "EncoderReference"


# Steps.


def transcribe(
    source: Source,
    words: WordsParameters = WordsParameters(),  # noqa: B008  # frozen
    *,
    progress: bool = False,
) -> "Transcribed":
    """Gives every recording of a folder that has no transcript one; the extra `words`."""
    from hbaf.corpus.read import parameters_of
    from hbaf.corpus.schema import CorpusError
    from hbaf.home import prepare_environment
    from hbaf.transcription.transcribe import transcribe_folder

    prepare_environment()
    parameters = source if isinstance(source, CorpusParameters) else parameters_of(source)
    if parameters.root is None:
        raise CorpusError(f"{source}: only a folder of recordings can be transcribed.")
    return transcribe_folder(parameters.root, words, progress=progress)


def prepare(
    source: Source = "example", *, split: bool = True, annotated: bool = True, progress: bool = False
) -> "CorpusReference":
    """Reads a corpus, measures its audio and saves it in the home.

    Args:
        split: assign dialogues to train, dev, test and gate where the source does not; False for one only scored.
        annotated: with the labels that people gave it, beside those of the source.
    """
    from hbaf.corpus.prepare import prepare_corpus
    from hbaf.corpus.read import parameters_of
    from hbaf.home import prepare_environment

    prepare_environment()
    parameters = source if isinstance(source, CorpusParameters) else parameters_of(source)
    return prepare_corpus(parameters, split=split, annotated=annotated, progress=progress)


def check(
    reference: "CorpusReference", rules: ValidationParameters = RULES, *, docs: bool = True, log: bool = True
) -> Validated:
    """Holds a corpus against the rules; a broken rule is a result, not an error."""
    from hbaf.registry.records.validations import log_validation
    from hbaf.report.validation_page import write_validation_page
    from hbaf.validation import accept
    from hbaf.validation import validate as hold_against

    result = hold_against(reference.corpus, rules, docs=docs)
    if result.docs is not None:
        write_validation_page(result, reference.corpus, rules, result.docs)
    accept(reference.corpus, result)
    return Validated(reference, result, log_validation(result, rules) if log else None)


def extract_columns(reference: "CorpusReference", features: FeatureParameters, *, progress: bool = False) -> "Columns":
    """Extracts what is missing of every column that the settings name."""
    from hbaf.features.columns import extract_features

    return extract_features(reference.corpus, features, progress=progress)


# Compositions.


def validate(
    source: Source = "example",
    rules: ValidationParameters = RULES,
    *,
    split: bool = True,
    docs: bool = True,
    log: bool = True,
    progress: bool = False,
    step: Step = plainly,
) -> Validated:
    """Reads a corpus and holds it against the rules.

    Args:
        source: where the conversations come from.
        docs: also write pages and the broken rows into the home.
        log: also log the result to MLflow.
    """
    reference = step(prepare)(source, split=split, progress=progress)
    return step(check)(reference, rules, docs=docs, log=log)


def valid(source: Source, *, progress: bool = False, step: Step = plainly) -> "CorpusReference":
    """A corpus to learn from.

    Raises:
        ValidationFailed: it breaks a critical rule.
    """
    found = validate(source, progress=progress, step=step)
    found.result.raise_if_failed()
    return found.reference


def extract(
    source: Source = "example",
    settings: Settings | str = "paper",
    *,
    progress: bool = False,
    step: Step = plainly,
) -> Extracted:
    """Validates a corpus and extracts the columns that a recipe reads; only what is missing.

    Args:
        settings: a recipe's name, or what `from_recipe` gives.
    """
    reference = valid(source, progress=progress, step=step)
    return Extracted(reference, step(extract_columns)(reference, _settings(settings).features, progress=progress))


def train(
    source: Source = "example",
    settings: Settings | str = "paper",
    *,
    again: bool = False,
    progress: bool = False,
    step: Step = plainly,
) -> Trained:
    """Validates, extracts what is missing, trains once, chosen on dev, and registers the candidate.

    Args:
        settings: a recipe's name, or what `from_recipe` gives. Where `model.variant` is not set and the corpus has no
            words, or no sound, the variant is that of what it has.
        again: train even if the same run is there already.
    """
    from hbaf.promotion.promote import model_name, register_once
    from hbaf.registry.runs import train_and_log

    settings = _settings(settings)
    found = extract(source, settings, progress=progress, step=step)
    settings, chosen = _of_what_is_there(found.reference, settings)
    run = step(train_and_log)(found.reference, found.columns, *settings, again=again, progress=progress)
    model = model_name(found.reference.name)
    version = step(register_once)(run, model, {"hbaf.stage": "candidate"})
    return Trained(found.reference, settings, run, model, version, chosen)


def search(
    source: Source = "example",
    settings: Settings | str = "paper",
    parameters: SearchParameters = SearchParameters(trials=40),  # noqa: B008  # frozen
    *,
    workers: "Workers | None" = None,
    say: Callable[[str], None] = lambda text: None,
    progress: bool = False,
    step: Step = plainly,
) -> "StudyOutcome":
    """Validates, extracts, searches from the settings on, trains the best again over seeds, registers the candidate.

    Args:
        workers: runs the trials; default: this process, or processes of this machine.
        say: called with each message about progress.
    """
    from hbaf.search.run import run_study

    settings = _settings(settings)
    found = extract(source, settings, progress=progress, step=step)
    return step(run_study)(found.reference, found.columns, *settings, parameters, workers=workers, say=say)


def finetune(
    source: Source = "example",
    parameters: FineTuneParameters = FineTuneParameters(),  # noqa: B008  # frozen
    *,
    progress: bool = False,
    step: Step = plainly,
) -> FineTuned:
    """Validates and fine-tunes a text or speech encoder on train; its name goes into `features.text` or `.audio`."""
    from hbaf.registry.records.encoders import finetune_and_log

    reference = valid(source, progress=progress, step=step)
    return FineTuned(reference, step(finetune_and_log)(reference, parameters, progress=progress))


def compare(
    sources: Source | Sequence[Source] = "example",
    comparison: ComparisonParameters = ComparisonParameters(),  # noqa: B008  # frozen
    changes: Changes | None = None,
    *,
    page: Path | None = None,
    say: "Say | None" = None,
    progress: bool = False,
    step: Step = plainly,
) -> Compared:
    """Validates corpora and compares systems on each; what ran before is not run again.

    Args:
        changes: settings over the recipe, by stage: {"model": {"dim": 64}}.
        page: also a page of results here.
        say: called when a run ends.
    """
    from hbaf.comparison.bench import cells_of, silent
    from hbaf.comparison.report import run_comparison

    each = [sources] if isinstance(sources, str | Path | CorpusParameters) else sources
    references = tuple(valid(source, progress=progress, step=step) for source in each)
    given = {stage: dict(values) for stage, values in (changes or {}).items()}
    cells = step(cells_of)(references, comparison, given, progress=progress)
    return Compared(references, step(run_comparison)(cells, comparison, given, page=page, say=say or silent))


def promote(
    source: Source = "example",
    run: str | None = None,
    *,
    model: str | None = None,
    rules: PromotionParameters = PROMOTION,
    ask: "Callable[[Verdict], tuple[bool, str]] | None" = None,
    progress: bool = False,
    step: Step = plainly,
) -> "Verdict":
    """Makes the best run of a corpus the champion, if it meets every rule and, with `approval`, a person agrees.

    Args:
        run: MLflow run id; default: of all variants, the newest search's candidate or the best on dev.
        model: registered name; default `hbaf-<corpus>`.
        ask: how that person is asked, returns (agreed, reason); without it the verdict stays `waiting`.
    """
    from hbaf.promotion.best_run import best_run
    from hbaf.training.package import ModelPackage

    reference = step(prepare)(source, progress=progress)
    candidate = step(best_run)(reference, run, margin=rules.search_margin)
    features = ModelPackage.load(candidate.package).facts.features
    columns = step(extract_columns)(reference, features, progress=progress)
    return decide(candidate, reference, columns, name=model, rules=rules, ask=ask, step=step)


def decide(
    candidate: "RunReference",
    reference: "CorpusReference",
    columns: "Columns",
    *,
    name: str | None = None,
    rules: PromotionParameters = PROMOTION,
    ask: "Callable[[Verdict], tuple[bool, str]] | None" = None,
    step: Step = plainly,
) -> "Verdict":
    """Registers a run; it becomes the champion if it meets every rule and, with `approval`, a person agrees."""
    from hbaf.promotion.promote import judge, settle

    verdict = step(judge)(candidate, reference, columns, name=name, rules=rules)
    if verdict.outcome != "waiting" or (rules.approval and ask is None):
        return verdict
    agreed, reason = ask(verdict) if rules.approval and ask is not None else (True, "")
    return step(settle)(verdict, agreed=agreed, reason=reason)


def load(model: str | None = None) -> "Predictor":
    """The champion, ready to predict.

    Args:
        model: registered name; default: the only one with a champion.
    """
    from hbaf.home import prepare_environment
    from hbaf.inference.predictor import Predictor
    from hbaf.registry.models import find_model

    prepare_environment()
    return Predictor.load(find_model(model).folder)


def evaluate(
    source: Source = "example",
    *,
    model: str | None = None,
    run: str | None = None,
    final: bool = False,
    reason: str = "hbaf evaluate --final",
    progress: bool = False,
    step: Step = plainly,
) -> Evaluated:
    """A model's predictions of dev, or, with `final`, of the test split; each use of that is written down.

    Args:
        model: registered name, whose champion is measured, or `name/version`; default: the only champion. `hub:ID`: a
            published classifier.
        run: MLflow run whose model is measured instead.
        reason: why, for the list of uses of the test split.
    """
    from hbaf.features.columns import default_store
    from hbaf.registry.models import asked_model, load_package
    from hbaf.scoring.hub import hub_model, is_hub
    from hbaf.training.data import load_split, read_vectors
    from hbaf.training.evaluate import check_labels, check_splits, evaluate_final, predict, predictions_of

    reference = step(prepare)(source, progress=progress)
    if is_hub(model):
        published = hub_model(str(model), reference.corpus.labels)
        check_labels(published.emotions, reference.corpus)
        table = step(published.predict)(reference.corpus, default_store(), progress=progress)
        found = predictions_of(table, reference.corpus, published.emotions, final_reason=reason if final else "")
        return _evaluated(reference.corpus.name, published.label, final, found)
    measured = asked_model(model, run)
    package, corpus = load_package(measured), reference.corpus
    check_labels(package.facts.emotions, corpus)
    vectors = read_vectors(corpus, step(extract_columns)(reference, package.facts.features, progress=progress))
    if final:
        predictions = evaluate_final(package, corpus, vectors, reason=reason)
    else:
        check_splits(package, corpus)
        dev = load_split(corpus, vectors, package.representation, "dev", package.facts.emotions)
        predictions = predict(package.system, dev, package.facts.emotions)
    return _evaluated(corpus.name, measured.label, final, predictions)


def _evaluated(corpus: str, model: str, final: bool, predictions: "SplitPredictions") -> Evaluated:
    from hbaf.registry.records.test_looks import share_test_looks
    from hbaf.statistics import interval

    if final:
        share_test_looks()
    return Evaluated(corpus, model, "test" if final else "dev", predictions, interval(predictions.counts()))


def score(
    source: Source = "example",
    *,
    purpose: "Purpose",
    model: str | None = None,
    output: Path | None = None,
    csv: bool = False,
    audformat: bool = False,
    export: str = "",
    beside: str | None = None,
    keep_features: "KeepFeatures" = "selected",
    audio: "Players" = "link",
    words: WordsParameters | None = None,
    progress: bool = False,
    step: Step = plainly,
) -> Scored:
    """Scores conversations with the champion, then forgets what HBAF_RETENTION says.

    Args:
        purpose: what the scores are for; kept with every row. `commercial` refuses what its licence forbids.
        model: registered name, whose champion scores, or `name/version`; default: the only champion. `hub:ID`: a
            published classifier.
        output: folder for the results; default: in the home.
        csv: also a CSV; audformat: also an audformat database.
        export: also files of other tools, as `srt,eaf`: srt, vtt, eaf, textgrid, audacity, speakers.
        beside: a second model, named as `model`, that the report shows beside it.
        keep_features: keep the numbers that the model reads, so that a second run is quick, or nothing.
        audio: how the report's players find the sound.
        words: first give recordings without a transcript one.
    """
    from hbaf.privacy.retention import apply_retention
    from hbaf.scoring.exports import forms
    from hbaf.scoring.score import score_corpus

    wanted = forms(export)
    if words is not None:
        step(transcribe)(source, words, progress=progress)
    reference = step(prepare)(source, split=False, progress=progress)
    scores = step(score_corpus)(
        reference, purpose=purpose, model=model, output=output, csv=csv, audformat=audformat,
        export=wanted, beside=beside, keep_features=keep_features, audio=audio, progress=progress,
    )  # fmt: skip
    return Scored(scores, step(apply_retention)())


def import_labels(
    source: Source,
    files: Sequence[Path],
    *,
    annotator: str = "",
    progress: bool = False,
    step: Step = plainly,
) -> "Imported":
    """Takes up labels that people gave a corpus, joined by utterance id; the next `prepare` knows them.

    Args:
        annotator: who gave labels whose file does not say.
    """
    from hbaf.corpus.read import parameters_of
    from hbaf.labelling.given import LabellingError
    from hbaf.labelling.importing import import_labels as join

    if not files:
        raise LabellingError("no file of labels is named. Name one or several after the corpus.")
    parameters = source if isinstance(source, CorpusParameters) else parameters_of(source)
    reference = step(prepare)(parameters, split=False, annotated=False, progress=progress)
    return join(reference.corpus, files, parameters, annotator=annotator)


def label_agreement(source: Source) -> "Agreement | None":
    """How far the annotators of a corpus agree; None where no two labelled the same utterance."""
    from hbaf.corpus.annotations import read_annotations
    from hbaf.corpus.labels import LabelMap
    from hbaf.corpus.read import parameters_of, read_corpus
    from hbaf.labelling.agreement import agreement_of

    parameters = source if isinstance(source, CorpusParameters) else parameters_of(source)
    corpus = read_corpus(parameters, annotated=False)
    return agreement_of(corpus, read_annotations(corpus.name), LabelMap(parameters))


def label_curve(
    source: Source,
    settings: Settings | str = "paper",
    sizes: Sequence[int] = (50, 100, 200, 400),
    *,
    seeds: int = 3,
    say: Callable[[str], None] = lambda text: None,
    progress: bool = False,
    step: Step = plainly,
) -> "Curve":
    """What labels are worth: trains on drawn parts of the labelled dialogues of train, and measures on dev.

    Args:
        settings: a recipe's name, or what `from_recipe` gives.
        sizes: labelled turns to learn from.
        say: called after each training.
    """
    from hbaf.labelling.curve import learning_curve

    settings = _settings(settings)
    found = extract(source, settings, progress=progress, step=step)
    settings, _ = _of_what_is_there(found.reference, settings)
    return step(learning_curve)(found.reference.corpus, found.columns, settings, sizes, seeds=seeds, say=say)


def sample(
    source: Source,
    *,
    turns: int = 200,
    random_share: float = 0.25,
    seed: int = 0,
    scores: Sequence[Path] = (),
    to: str = "",
    output: Path | None = None,
    progress: bool = False,
    step: Step = plainly,
) -> Sampled:
    """Chooses the conversations to label first, by the latest scores of the corpus; a part by chance.

    Args:
        turns: how many unlabelled turns, at least.
        random_share: of them, drawn by chance alone, 0..1.
        scores: folders of scores or published datasets; default: those of the home.
        to: also files to label in, as `label-studio,eaf`: label-studio, textgrid, eaf, audacity.
        output: folder for them.
    """
    from hbaf.inbox.publish.published_scores import score_store
    from hbaf.labelling.given import LabellingError
    from hbaf.labelling.sample import candidates, choose, latest_scores
    from hbaf.labelling.tasks import FORMS, write_tasks
    from hbaf.scoring.exports import forms

    wanted = forms(to, FORMS, "--to")
    if wanted and output is None:
        raise LabellingError("--to: say where the files go: `--output FOLDER`.")
    if turns < 1 or not 0 <= random_share <= 1:
        raise LabellingError("--turns is 1 or more, --random from 0 to 1.")
    corpus = step(prepare)(source, split=False, progress=progress).corpus
    rows = latest_scores(corpus, score_store([str(place) for place in scores]))
    found = candidates(corpus, rows)
    chosen = tuple(choose(found, turns, random_share=random_share, seed=seed))
    files, without = ([], 0) if output is None else write_tasks(corpus, rows, chosen, output, wanted)
    return Sampled(chosen, sum(one.turns for one in found), bool(len(rows)), tuple(files), without)


def _of_what_is_there(reference: "CorpusReference", settings: Settings) -> tuple[Settings, str]:
    """The settings with the variant of a corpus that has one modality, and why; as they are where a variant is set."""
    from hbaf.training.quality.missing import only_modality

    if "variant" in settings.model.model_fields_set:
        return settings, ""
    only = only_modality(reference.corpus, settings.features)
    if only is None:
        return settings, ""
    lacks = "words" if only == "audio" else "sound"
    chosen = settings.model.model_copy(update={"variant": only})
    return settings._replace(model=chosen), f"the corpus has no {lacks}: variant `{only}`"


def _settings(settings: Settings | str) -> Settings:
    return from_recipe(settings) if isinstance(settings, str) else settings
