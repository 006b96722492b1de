"""`demo`: the whole way on the example corpus, through Prefect, in this process and without a server set up."""

import functools

from prefect import flow
from rich.console import Console
from rich.table import Table

from flows.stages import step
from hbaf import pipeline
from hbaf.corpus.schema import CorpusReference
from hbaf.features.columns import Columns
from hbaf.parameters import CorpusParameters, Settings, from_recipe
from hbaf.processes import beside, cores
from hbaf.registry.runs import RunReference, is_trained, train_and_log
from hbaf.registry.tracking import ui_command

VARIANTS = {"text": "text only", "audio": "audio only", "bimodal": "HBAF"}
NEW_CONVERSATIONS = 12


@flow(name="demo")
def demo(audio: str = "compare2016", dialogues: int = 320, seed: int = 0) -> bool:
    """Example corpus, three models, promotion, scored conversations.

    Args:
        audio: Audio representation.
        dialogues: Size of the example corpus.
        seed: Of corpus and training.

    Returns:
        Whether a model was promoted and conversations were scored.
    """
    console = Console()
    say = lambda text: console.print(f"[bold]{text}[/bold]")  # noqa: E731  # one line, one use
    features, _, _ = from_recipe("demo", features={"audio": audio})
    say(f"1 of 5  example corpus: {dialogues} dialogues, synthesised once and kept, then validated")
    reference = pipeline.valid(CorpusParameters(dialogues=dialogues, seed=seed), progress=True, step=step)
    say(f"2 of 5  features: {features.audio} from the voice, {features.text} from the words")
    columns = step(pipeline.extract_columns)(reference, features, progress=True)
    say("3 of 5  training: recipe `demo` (narrow and quick, not the paper's width), chosen on dev")
    runs = step(train_variants)(reference, columns, audio, seed)
    for variant, name in VARIANTS.items():
        known = " (trained before)" if runs[variant].reused else ""
        console.print(f"        {name:10}  weighted F1 on dev {runs[variant].weighted_f1:.3f}{known}")
    verdict = pipeline.decide(runs["bimodal"], reference, columns, step=step)
    say(f"4 of 5  promotion: {verdict.model} version {verdict.version}, {verdict.reason}")
    console.print(f"        {verdict.compared()}", soft_wrap=True)
    tested = step(test_scores)(reference, columns, runs)
    if not verdict.promoted:
        console.print(result_table(tested))
        console.print(f"nothing is scored: {verdict.title}", soft_wrap=True)
        for line in verdict.advice:
            console.print(f"  {line}", soft_wrap=True, markup=False)
        return False
    say(f"5 of 5  scoring {NEW_CONVERSATIONS} new conversations")
    new = CorpusParameters(name="example-new", dialogues=NEW_CONVERSATIONS, seed=seed + 1)
    done = pipeline.score(new, purpose="research", model=verdict.model, csv=True, progress=True, step=step)
    console.print(result_table(tested))
    console.print(f"runs and models:  {ui_command()}", soft_wrap=True)
    console.print(f"scores:           {done.scores.folder / 'scores.csv'}", soft_wrap=True)
    console.print(f"report:           {done.scores.report}", soft_wrap=True)
    return True


def train_variants(reference: CorpusReference, columns: Columns, audio: str, seed: int) -> dict[str, RunReference]:
    """HBAF here, with its progress; what is new of text alone and audio alone meanwhile in a process beside it."""
    train = functools.partial(train_variant, reference, columns, audio, seed)
    new = [one for one in ("text", "audio") if not is_trained(reference, columns, *variant_settings(audio, seed, one))]
    with beside(train, new) as others:
        runs = {one: train(one, progress=one == "bimodal") for one in VARIANTS if one not in new}
        runs |= {one: other.result() for one, other in zip(new, others, strict=True)}
        return {one: runs[one] for one in VARIANTS}


def train_variant(
    reference: CorpusReference, columns: Columns, audio: str, seed: int, variant: str, *, progress: bool = False
) -> RunReference:
    """A run with the demo's recipe."""
    return train_and_log(reference, columns, *variant_settings(audio, seed, variant), progress=progress)


def variant_settings(audio: str, seed: int, variant: str) -> Settings:
    """The demo's recipe with one modality or both; what is trained here and what beside it share the cores."""
    training = {"seed": seed, "workers": max(1, cores() // 2)}
    return from_recipe("demo", features={"audio": audio}, model={"variant": variant}, training=training)


def test_scores(
    reference: CorpusReference, columns: Columns, runs: dict[str, RunReference]
) -> dict[str, dict[str, float]]:
    """Weighted F1 on the test split of each run: whole, then by cue type."""
    from hbaf.registry.records.test_looks import share_test_looks
    from hbaf.training.data import read_vectors
    from hbaf.training.evaluate import evaluate_final, weighted_f1_by
    from hbaf.training.package import ModelPackage

    corpus = reference.corpus
    vectors = read_vectors(corpus, columns)
    cues = corpus.utterances.set_index("utterance_id")["cue"]
    found = {}
    for name, run in runs.items():
        predictions = evaluate_final(ModelPackage.load(run.package), corpus, vectors, reason="hbaf demo")
        found[name] = {"all": predictions.weighted_f1(), **weighted_f1_by(predictions, cues)}
    share_test_looks()
    return found


def result_table(tested: dict[str, dict[str, float]]) -> Table:
    """Weighted F1 on the test split, whole and by what the emotion can be recognised from."""
    columns = list(next(iter(tested.values())))
    table = Table(title="weighted F1 on the example's test split, by what tells the emotion")
    table.add_column("model")
    for name in columns:
        table.add_column(name, justify="right")
    for variant, values in tested.items():
        table.add_row(VARIANTS[variant], *(f"{values[name]:.3f}" for name in columns))
    return table
