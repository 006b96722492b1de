"""`score-corpus`: new conversations -> predictions; of a corpus with a report, or of a source whatever is new."""

from prefect import flow

from flows.shard_runner import ShardRunner, score_new
from flows.stages import step
from hbaf import pipeline
from hbaf.inbox.scheduled import SourceScores
from hbaf.inbox.source import SourceParameters
from hbaf.parameters import CorpusParameters, WordsParameters
from hbaf.scoring.purpose import Purpose
from hbaf.scoring.score import KeepFeatures, Players, Scores


@flow(name="score-corpus")
def score_corpus(
    purpose: Purpose,
    source: SourceParameters | None = None,
    corpus: CorpusParameters = CorpusParameters(),
    model: str | None = None,
    csv: bool = False,
    audformat: bool = False,
    export: str = "",
    beside: str | None = None,
    words: WordsParameters | None = None,
    keep_features: KeepFeatures = "selected",
    audio: Players = "link",
    runner: ShardRunner = ShardRunner(),
    progress: bool = False,
) -> Scores | SourceScores:
    """Scores with the champion what is new in a source; or, without one, every utterance of a corpus.

    Args:
        purpose: What the scores are for; kept with every row. `commercial` refuses what its licence forbids.
        source: A folder or prefix that conversations arrive in; what is published already is not scored again.
        corpus: Without a source: where the conversations come from.
        model: Registered model; default: the only one with a champion.
        csv: Of a corpus: also write a CSV.
        audformat: Of a corpus: also write an audformat database.
        export: Of a corpus: also files of other tools, as `srt,eaf`.
        beside: Of a corpus: a second model that the report shows beside the first.
        words: Of a corpus: first give recordings without a transcript one.
        keep_features: Of a corpus: keep the numbers that the model reads, or nothing.
        audio: Of a corpus: how the report's players find the sound.
        runner: Of a source: where its shards are worked on.
        progress: Show progress bars.
    """
    if source is not None:
        return score_new(source, purpose, model, runner)
    return pipeline.score(
        corpus, purpose=purpose, model=model, csv=csv, audformat=audformat, export=export, beside=beside, words=words,
        keep_features=keep_features, audio=audio, progress=progress, step=step,
    ).scores  # fmt: skip


if __name__ == "__main__":
    score_corpus(purpose="research")
