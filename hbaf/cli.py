"""`hbaf`: the command, its verbs by name, and how errors are shown.

Everything heavy is imported inside the verb that needs it, so that `hbaf --help` answers at once.
"""

import gc
import os
import sys
from collections.abc import Sequence

from cyclopts import App

# Objects made before Python looks for unreachable cycles. Its own 700 suit small programs: a tenth of the time of all
# imports went into looking at modules that stay (docs/benchmarks.md).
COLLECT_AFTER = 20_000

app = App(
    name="hbaf",
    help="""Emotion recognition in conversations, from audio and words.

SOURCE names a corpus: `example` (synthetic, generated here), `imported/NAME` (made by `hbaf import`), or a folder with
MELD's or IEMOCAP's release, an audformat database, or a manifest (CSV, JSONL or Parquet: dialogue, turn, speaker, text,
audio, emotion ...) beside audio files. A command also runs the earlier steps that it needs and that were not run yet.

Everything is kept in one home folder: HBAF_HOME, or the user's data directory.
""",
    help_format="markdown",
)

# verb -> what `hbaf --help` says of it, in the order of the work. Modules are imported only when their verb is called.
VERBS = {
    "hbaf.verbs.setup:demo": "Run everything on an example corpus: make it, train, promote, score.",
    "hbaf.verbs.corpus:validate": "Check a corpus for errors and implausible values.",
    "hbaf.verbs.corpus:transcribe": "Transcribe recordings: who says what, when.",
    "hbaf.verbs.labelling.sample:sample": "Choose the conversations to label first; write them as files to label in.",
    "hbaf.verbs.labelling.label:label": "Take up labels that people gave; show agreement and what labels are worth.",
    "hbaf.verbs.imports:import_": "Import published feature files (pickle, npz, Parquet).",
    "hbaf.verbs.corpus:extract": "Compute the audio and text features of a corpus that are not stored yet.",
    "hbaf.verbs.store:features": "List stored features; verify them or remove unused ones.",
    "hbaf.verbs.encoders:models": "Fetch, list and verify pretrained weights; check your own extractor or system.",
    "hbaf.verbs.encoders:finetune": "Fine-tune a text or speech encoder on the train split.",
    "hbaf.verbs.model:train": "Train a model and log it to MLflow as a candidate; dev chooses the epoch.",
    "hbaf.verbs.search:search": "Search for better hyperparameters; register the best model as a candidate.",
    "hbaf.verbs.comparison.compare:compare": "Compare HBAF with other systems over seeds, with paired tests.",
    "hbaf.verbs.comparison.findings:findings": "Test the paper's claims on a corpus; find what improves HBAF on dev.",
    "hbaf.verbs.comparison.reproduce:reproduce": "Run all comparisons of the paper, or estimate what that would cost.",
    "hbaf.verbs.model:evaluate": "Measure the champion (the model in use) on dev, or on the test split with --final.",
    "hbaf.verbs.model:promote": "Make the best trained model the champion, if it passes every rule.",
    "hbaf.verbs.promotion:rollback": "Make the previous champion the champion again.",
    "hbaf.verbs.promotion:card": "Show the model card of the champion.",
    "hbaf.verbs.scoring:score": "Predict emotions in conversations with the champion; write a table and a report.",
    "hbaf.verbs.labelling.review:review": "Show scored conversations in a browser and keep the labels given there.",
    "hbaf.verbs.scoring:serve": "Answer over HTTP with the champion: whole conversations, or turn by turn.",
    "hbaf.verbs.inbox:inbox": "List conversations that arrived for scheduled scoring; score, retry or ignore them.",
    "hbaf.verbs.scheduling.schedule:schedule": "Score what arrives in folders by itself, every hour or every night.",
    "hbaf.verbs.scheduling.events:events": "List what moved (promotions, quarantine, drift); send it to webhooks.",
    "hbaf.verbs.inbox:rescore": "After a promotion: score conversations since a given day again with the new champion.",
    "hbaf.verbs.inbox:verify": "Recompute published scores on this machine and compare.",
    "hbaf.verbs.search:search_worker": "Run trials of a search that was started here or on another machine.",
    "hbaf.verbs.monitor:status": "Show the state of scoring: last success, backlog, quarantine, champion, disk.",
    "hbaf.verbs.monitor:monitor": "Check whether recently scored conversations differ from the training data (drift).",
    "hbaf.verbs.privacy:why": "Trace a prediction back to its model, run, features, corpus and recording.",
    "hbaf.verbs.privacy:forget": "Delete a conversation, a speaker or a corpus from everything that is kept.",
    "hbaf.verbs.setup:settings_": "List what can be set: default, range, meaning, the paper's symbol.",
    "hbaf.verbs.setup:doctor": "Find what is wrong with this installation, and how to fix it.",
}


def register(asked: Sequence[str]) -> None:
    """Makes the verbs known; the one asked for shows its own docstring, with examples, under `--help`."""
    for number, (verb, message) in enumerate(VERBS.items()):
        name = verb.partition(":")[2].replace("_", "-").strip("-")
        named = name in asked[:1]
        if name in app:  # `main` may be called more than once in one process
            del app[name]
        app.command(verb, sort_key=number, **({} if named else {"help": message}))


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: errors that the user can mend are one message and exit code 2, never a traceback."""
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])
    register(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(arguments, exit_on_error=True, result_action="return_value")
    except KeyboardInterrupt:
        print("interrupted; what is done is kept, run the same command again to go on", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        message = expected(error)
        if os.environ.get("HBAF_TRACEBACK") or message is None:
            raise
        print(f"hbaf: {message}", file=sys.stderr)
        sys.exit(2)
    sys.exit(code or 0)


def expected(error: Exception) -> str | None:
    """The message of an error that the user can mend; None for a fault of ours."""
    from pydantic import ValidationError

    from hbaf.home import storage_trouble

    if isinstance(error, ValidationError):
        from hbaf.parameters import STAGES
        from hbaf.settings import message_of

        return message_of(error, STAGES)
    if is_expected(error):
        return str(error)
    if type(error).__module__.startswith("mlflow"):
        from hbaf.registry.tracking import server_trouble

        if message := server_trouble(error):
            return message
    # A full disk meets whoever writes at that moment: a library's own error says it in many ways.
    return storage_trouble(error)


def is_expected(error: Exception) -> bool:
    """Whether an error is one of our own kinds, or a setting out of bounds: its message says what to do."""
    return type(error).__module__.split(".")[0] in ("hbaf", "feature_store", "pydantic_core")


if __name__ == "__main__":
    main()
