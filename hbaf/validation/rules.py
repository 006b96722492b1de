"""The rules that a corpus is judged by: what each means, how grave it is, and what to do when it is broken.

A rule looks at one column of one of the three tables of `hbaf.validation.tables`. A missing value there means that the
rule does not apply to that row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from hbaf.parameters import ValidationParameters

Severity = Literal["critical", "warning"]
TableName = Literal["utterances", "dialogues", "corpus"]
Bounds = tuple[float | None, float | None]

MOST_SPOILT = 0.5  # share of the texts that may repeat the one before, or have lost their letters
CLIPPED_SHARE = 0.01  # of the samples of one utterance; more is heard as distortion


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        name: short and stable; reports and logs use it.
        severity: a broken `critical` rule stops the run, a broken `warning` is reported.
        table: which table the column is in.
        column: the column that is looked at.
        kind: "rows" wants at least one row, "unique" no value twice, "true" every value true, "between" every value
            within `bounds`.
        meaning: what holds when the rule is kept; `{low}`, `{high}` and `{bad_share}` are filled in.
        advice: what to do when it is broken.
        tolerant: `ValidationParameters.bad_share` of the rows may break it.
        bounds: smallest and largest allowed value, both included; None: no limit on that side.
    """

    name: str
    severity: Severity
    table: TableName
    column: str
    kind: Literal["rows", "unique", "true", "between"]
    meaning: str
    advice: str
    tolerant: bool = False
    bounds: Callable[[ValidationParameters], Bounds] = lambda parameters: (None, None)

    def meaning_under(self, parameters: ValidationParameters) -> str:
        """The rule in words, with these bounds."""
        low, high = self.bounds(parameters)
        text = self.meaning.format(low=low, high=high, bad_share=f"{parameters.bad_share:.1%}")
        return f"{text} At most {parameters.bad_share:.1%} of the rows may differ." if self.tolerant else text


UTTERANCE_RULES = (
    Rule(
        "rows",
        "critical",
        "utterances",
        "utterance_id",
        "rows",
        "The corpus has at least one utterance.",
        "Check the root folder and the manifest: every row may have been set aside (see set_aside).",
    ),
    Rule(
        "unique_ids",
        "critical",
        "utterances",
        "utterance_id",
        "unique",
        "No utterance_id occurs twice.",
        "Number the turns of each dialogue without repeats; two dialogues must not share a dialogue_id.",
    ),
    Rule(
        "ids_well_formed",
        "critical",
        "utterances",
        "id_well_formed",
        "true",
        "utterance_id is corpus/dialogue_id/turn of its own row.",
        "Build the table with hbaf.corpus.schema.as_utterances after the last change of dialogue or turn.",
    ),
    Rule(
        "known_labels",
        "critical",
        "utterances",
        "label_known",
        "true",
        "Every label is one of the corpus's emotions, or missing.",
        "Compare the emotion of these utterances with the label set: rename labels, or list them in `emotions`.",
    ),
    Rule(
        "text_usable",
        "critical",
        "utterances",
        "text_usable",
        "true",
        "Every utterance has text.",
        "text_problem of these utterances says why. Transcribe, or raise validation.bad_share to carry them along.",
        tolerant=True,
    ),
    Rule(
        "audio_usable",
        "critical",
        "utterances",
        "audio_usable",
        "true",
        "Every utterance has audio that exists and decodes.",
        "audio_problem of these utterances says why. Check root folder and files, or raise validation.bad_share.",
        tolerant=True,
    ),
    Rule(
        "some_modality",
        "critical",
        "utterances",
        "some_modality",
        "true",
        "Every utterance has usable text or usable audio.",
        "Nothing can be said of these utterances: give them text or audio, or remove them from the manifest.",
        tolerant=True,
    ),
    Rule(
        "audio_measured",
        "critical",
        "utterances",
        "audio_measured",
        "true",
        "All usable audio was decoded and measured.",
        "Measure the corpus first (hbaf.corpus.sound.facts.add_facts): audio that nobody decoded proves nothing.",
        tolerant=True,
    ),
    Rule(
        "segments_in_order",
        "critical",
        "utterances",
        "segment_in_order",
        "true",
        "Segments begin at 0 s or later and end after they begin.",
        "Correct start and end of these utterances (seconds from the beginning of the file).",
        tolerant=True,
    ),
    Rule(
        "duration",
        "warning",
        "utterances",
        "seconds",
        "between",
        "Utterances last {low} to {high} s.",
        "Listen to these: a cut in the wrong place or a whole recording. Correct start and end, or set `seconds`.",
        bounds=lambda parameters: parameters.seconds,
    ),
    Rule(
        "loudness",
        "warning",
        "utterances",
        "loudness",
        "between",
        "Loudness is {low} to {high} dB relative to full scale.",
        "Listen to these: silence, the wrong channel, or a wrong sample format. Correct `channel`, or set `loudness`.",
        tolerant=True,
        bounds=lambda parameters: parameters.loudness,
    ),
    Rule(
        "clipping",
        "warning",
        "utterances",
        "clipped",
        "between",
        "At most {high:.0%} of an utterance's samples are at full scale.",
        "The recording is distorted: record or export at a lower level; loudness features of these are unreliable.",
        tolerant=True,
        bounds=lambda parameters: (None, CLIPPED_SHARE),
    ),
    Rule(
        "words_per_second",
        "warning",
        "utterances",
        "words_per_second",
        "between",
        "Speech has {low} to {high} words a second (words are separated by spaces).",
        "Text and audio of these may not belong together: look for a shift by one row or wrong start and end.",
        tolerant=True,
        bounds=lambda parameters: parameters.words_per_second,
    ),
    Rule(
        "some_voice",
        "warning",
        "utterances",
        "voiced_share",
        "between",
        "At least {low:.0%} of an utterance is not silence (frames within 40 dB of the loudest).",
        "Listen to these: a click in silence, or a channel on which nobody speaks. Correct start, end or `channel`.",
        tolerant=True,
        bounds=lambda parameters: (parameters.voiced_share, None),
    ),
    Rule(
        "announced_length",
        "warning",
        "utterances",
        "announced_seconds",
        "between",
        "The source gives every utterance a length above 0 s.",
        "The times of these rows are wrong at the source. Their text is used; do not cut audio by these times.",
        bounds=lambda parameters: (0.001, None),
    ),
    Rule(
        "audio_as_announced",
        "warning",
        "utterances",
        "announced_gap",
        "between",
        "The audio lasts as long as the source says, to {high} s.",
        "Listen to these: clips cut wrongly at the source. Their audio misleads; drop it (empty audio) or cut it anew.",
        bounds=lambda parameters: (None, parameters.announced_gap),
    ),
    Rule(
        "text_encoding",
        "warning",
        "utterances",
        "text_clean",
        "true",
        "No text shows traces of a wrong encoding (as in don\u00e2\u20ac\u2122t) or control characters.",
        "Save the manifest as UTF-8 from the program that made it; the words of these reach the text encoder garbled.",
    ),
    Rule(
        "test_audio_new",
        "warning",
        "utterances",
        "audio_new_in_test",
        "true",
        "No recording of the test split occurs in train.",
        "Scores on these are flattering. Look for files that the source lists twice.",
    ),
    Rule(
        "test_texts_new",
        "warning",
        "utterances",
        "text_new_in_test",
        "true",
        "Test texts of four words or more do not occur in train.",
        "Scores on these are flattering. Look for dialogues that the source lists twice.",
        tolerant=True,
    ),
    Rule(
        "test_speakers_new",
        "warning",
        "utterances",
        "speaker_new_in_test",
        "true",
        "No speaker of the test split speaks in train.",
        "No error. Scores speak of known voices; for unknown ones split by speaker.",
    ),
)

DIALOGUE_RULES = (
    Rule(
        "turns_are_ranks",
        "critical",
        "dialogues",
        "turns_are_ranks",
        "true",
        "The turns of each dialogue are 0, 1, 2 ... without gaps.",
        "Number the turns by rank and keep the official number in source_id.",
    ),
    Rule(
        "one_split",
        "critical",
        "dialogues",
        "one_split",
        "true",
        "No dialogue is in two splits.",
        "Assign each dialogue once: with its turns on both sides test scores would be flattering.",
    ),
    Rule(
        "split_names",
        "critical",
        "dialogues",
        "split_known",
        "true",
        "Splits are named train, dev or test.",
        "Rename the splits of these dialogues.",
    ),
    Rule(
        "split_dialogues_exist",
        "warning",
        "dialogues",
        "has_utterances",
        "true",
        "Every dialogue that the splits name has utterances.",
        "The assignment belongs to another version of the corpus, or all rows of these dialogues were set aside.",
    ),
    Rule(
        "labelled_in_split",
        "warning",
        "dialogues",
        "labelled_in_split",
        "true",
        "Every labelled dialogue is in a split.",
        "These dialogues are neither trained on nor tested: assign them, or leave them out on purpose.",
    ),
)

CORPUS_RULES = (
    Rule(
        "splits_filled",
        "critical",
        "corpus",
        "smallest_split",
        "between",
        "Where there are splits, train, dev and test each have utterances (labelled ones in a labelled corpus).",
        "Assign dialogues to the empty split, or let the reader assign them (split_shares).",
        bounds=lambda parameters: (1, None),
    ),
    Rule(
        "emotions_in_train",
        "warning",
        "corpus",
        "emotions_absent_from_train",
        "between",
        "Every emotion of the label set occurs in train.",
        "An emotion that train never shows cannot be learned: assign other dialogues, or shorten the label set.",
        bounds=lambda parameters: (None, 0),
    ),
    Rule(
        "set_aside",
        "critical",
        "corpus",
        "set_aside_share",
        "between",
        "At most {bad_share} of the source's rows could not become utterances.",
        "set_aside lists row, rule and what was found: mend those rows, or raise validation.bad_share.",
        bounds=lambda parameters: (None, parameters.bad_share),
    ),
    Rule(
        "text_new",
        "critical",
        "corpus",
        "repeated_share",
        "between",
        "Most utterances say something else than the one before them (of four words or more).",
        "The transcripts repeat themselves, as captions that roll do: export them from the recogniser itself.",
        bounds=lambda parameters: (None, MOST_SPOILT),
    ),
    Rule(
        "text_readable",
        "critical",
        "corpus",
        "garbled_share",
        "between",
        "Most texts have the letters that were written, and not those of a wrong encoding or signs in their place.",
        "Export the words again from the program that made them, as UTF-8: another one has already lost their letters.",
        bounds=lambda parameters: (None, MOST_SPOILT),
    ),
    Rule(
        "paper_counts",
        "warning",
        "corpus",
        "paper_counts_differ",
        "between",
        "MELD and IEMOCAP have as many dialogues and labelled utterances as the paper's Table 1.",
        "Scores are not comparable with published ones unless the difference is explained: check the release.",
        bounds=lambda parameters: (None, 0),
    ),
    Rule(
        "label_shares",
        "warning",
        "corpus",
        "label_shift",
        "between",
        "No label's share changed by more than {high:.0%} since the last version that passed.",
        "If the new labels are right, nothing: this version is the next yardstick. Else look for a changed mapping.",
        bounds=lambda parameters: (None, parameters.label_shift),
    ),
    Rule(
        "has_text",
        "warning",
        "corpus",
        "has_text",
        "true",
        "The corpus has text.",
        "No utterance has any: only audio can be used. If there is a transcript, name its column.",
    ),
    Rule(
        "has_audio",
        "warning",
        "corpus",
        "has_audio",
        "true",
        "The corpus has audio.",
        "No utterance names any: only text can be used. If there are recordings, name their column.",
    ),
)

RULES: tuple[Rule, ...] = (*UTTERANCE_RULES, *DIALOGUE_RULES, *CORPUS_RULES)
