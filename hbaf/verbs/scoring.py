"""Verbs about scored conversations."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from hbaf.verbs.options import AS_IS, CorpusOptions, Purpose, Set, Source, aloud, changes_of


def score(
    source: Source,
    *,
    purpose: Purpose,
    model: str | None = None,
    output: Path | None = None,
    csv: bool = False,
    audformat: bool = False,
    export: str = "",
    beside: str | None = None,
    keep_features: Literal["selected", "none"] = "selected",
    audio: Literal["link", "embed", "none"] = "link",
    transcribe: Annotated[bool, Parameter(negative="")] = False,
    options: CorpusOptions = AS_IS,
) -> int:
    """Predicts the emotions in conversations with the champion; writes a Parquet table and an HTML report.

    Try:

        hbaf score ~/calls --purpose research

        hbaf score ~/calls --purpose research --csv --output /tmp/scored --audio embed

        hbaf score ~/calls --purpose research --export vtt,textgrid,speakers

        hbaf score ~/recordings --purpose research --transcribe --set words.language=en

        hbaf score ~/calls --purpose research --model hub:SamLowe/roberta-base-go_emotions --labels go_emotions:ekman

        hbaf score ~/calls --purpose research --model hbaf-calls/3 --beside hbaf-calls/2

    Args:
        model: Name of the registered model, whose champion scores, or NAME/VERSION; default: the only champion.
            `hub:ID`: a published classifier of the Hugging Face hub, for first scores; its rows and pages say that it
            was not trained on your data.
        output: Folder for the results; default: in the home folder.
        csv: Also write scores.csv, safe to open in a spreadsheet (text that looks like a formula stays text).
        audformat: Also write the predictions as an audformat database.
        export: Also write files for other tools, comma-separated: srt, vtt (subtitles), eaf (ELAN), textgrid (Praat),
            audacity (labels), speakers (a table of who showed which emotions).
        beside: A second model, named as `--model`: the report shows where the two differ.
        keep_features: `selected` stores the computed features, so that a second run is quick; `none` stores nothing.
        audio: In the report, `link` to the recordings, `embed` them, or leave the players out (`none`).
        transcribe: First give recordings without a transcript one, as `hbaf transcribe` does; any `--set words.NAME`
            asks for it too.
    """
    from hbaf import pipeline
    from hbaf.parameters import WordsParameters

    stages = ("corpus", "words")
    words = options.of("words", stages)
    done = pipeline.score(
        options.corpus(source, stages),
        purpose=purpose,
        model=model,
        output=output,
        csv=csv,
        audio=audio,
        audformat=audformat,
        export=export,
        beside=beside,
        keep_features=keep_features,
        words=WordsParameters(**words) if transcribe or words else None,
        progress=options.progress,
        step=aloud,
    )
    found, receipt = done.scores, done.forgotten
    print(f"{found.rows - found.unscored} utterances of {found.dialogues} conversations scored with {found.model}")
    if found.champion_from == "cache":
        print("  MLflow cannot be reached: this is the champion that it named last")
    if found.without_audio or found.without_text:
        print(f"  without audio: {found.without_audio}, without text: {found.without_text}")
    if found.unscored:
        print(f"  {found.unscored} more are unscored: they lack what this model was not trained to miss")
    if found.notice:
        print(f"  {found.notice}")
    print(f"scores: {found.folder / 'scores.parquet'}\nreport: {found.report}")
    if found.exported:
        print(f"exports: {found.exported} files in {found.folder / 'exports'}")
    if found.without_times:
        print(f"  {found.without_times} conversations have no times, so no subtitles or tiers were written of them")
    if receipt is not None:
        print(f"forgotten by HBAF_RETENTION: {receipt.utterances} rows of corpora, {receipt.scores} of scores")
    return 0


def serve(*, purpose: Purpose, model: str | None = None, set_: Set = None) -> int:
    """Answers over HTTP with the champion: rows for whole conversations, or for each turn as it comes.

    Prints its address and the token that requests must bring (HBAF_SERVE_TOKEN, or one made at each start).
    Conversations are JSON; recordings come beside it as uploads. Turn by turn needs a causal model; docs/serving.md.

    Try:

        hbaf serve --purpose research

        hbaf serve --purpose research --set serve.port=9000 --set serve.idle_seconds=120

        curl -H "Authorization: Bearer $TOKEN" --json @call.json http://127.0.0.1:8765/score

    with `{"turns": [{"speaker": "A", "text": "We won!"}]}` in call.json.

    Args:
        model: Name of the registered model; default: the only one with a champion.
    """
    from hbaf.parameters import ServeParameters
    from hbaf.serving.server import serve as answer

    answer(ServeParameters(**changes_of(set_, ["serve"]).get("serve", {})), purpose=purpose, model=model)
    return 0
