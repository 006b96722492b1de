"""The settings of every stage, one frozen model each; pydantic only, so every package may import it.

The same model is the flow's parameter (Prefect draws its form from it), the run's logged parameters, and, through
`search` in a field's metadata, the source of the search space. The symbols are the paper's (docs/method.md).
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
SpeakerRelative = Literal["none", "running", "both"]


class Parameters(BaseModel):
    """Frozen, and a misspelt name is an error rather than a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def digest(self) -> str:
        """sha256 of the values."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


class RecipeError(ValueError):
    """There is no such recipe."""


class IemocapParameters(Parameters):
    """Which labels and which sessions of IEMOCAP; read by the reader `iemocap` alone."""

    classes: Literal[4, 6] = Field(default=6, description="6 emotions, or 4 with excited counted as happy.")
    keep_unlabelled: bool = Field(default=True, description="Utterances without one of these labels stay as context.")
    test_session: int = Field(
        default=5, ge=1, le=5, description="5 is the field's habit; each in turn leaves one session out."
    )
    dev_dialogues: int = Field(
        default=12, ge=0, description="Dialogues of the other sessions for validation, drawn by seed."
    )


class LimitParameters(Parameters):
    """How much a file that somebody hands over may cost; beyond it it is refused, however small the file is."""

    table_bytes: int = Field(
        1 << 28, ge=1, description="Bytes of a table, and characters of all its cells once unpacked."
    )
    table_rows: int = Field(2_000_000, ge=1, description="Rows of a table.")
    table_cells: int = Field(50_000_000, ge=1, description="Cells of a table, those of lists inside cells too.")
    spreadsheet_memory: int = Field(
        3 << 30,
        ge=1 << 28,
        description="Bytes of memory of the process that reads a spreadsheet, where the system has limits.",
    )
    spreadsheet_seconds: float = Field(120.0, gt=0, description="Time that the same process may take.")
    sound_memory: int = Field(
        4 << 30,
        ge=1 << 28,
        description="Bytes of memory of the process that decodes recordings, where the system has limits.",
    )
    sound_seconds: float = Field(60.0, gt=0, description="Time that it may take for one utterance.")


class CorpusParameters(Parameters):
    """Where conversations come from."""

    reader: Literal["auto", "example", "folder", "meld", "iemocap", "audformat", "imported"] = Field(
        "example",
        description="`example` is made by the project itself, `folder` is a manifest beside audio files, `meld` and "
        "`iemocap` are the official releases, `audformat` is a database with a db.yaml, `imported` are published "
        "features under their name; `auto` looks what lies in the root.",
    )
    root: Path | None = Field(None, description="Folder with the manifest and the audio; not used by `example`.")
    name: str | None = Field(None, description="Short name, first part of every utterance id; default: the folder's.")
    manifest: str | None = Field(None, description="Manifest file inside the root; default: the only one there.")
    columns: dict[str, str] = Field({}, description="Manifest column -> our column, where the name is not recognised.")
    channels: dict[str, Annotated[int, Field(ge=0, lt=1000)]] = Field(
        {}, description="Speaker -> channel from 0, for a folder of recordings with one person per channel."
    )
    emotions: tuple[str, ...] = Field((), description="Label set in order; default: the labels found, sorted.")
    bad_share: Share = Field(0.02, description="Share of rows that may be set aside before the run stops.")
    split_shares: tuple[Share, Share, Share] = Field(
        (0.7, 0.15, 0.15), description="Train, dev and test shares of dialogues where the corpus names no splits."
    )
    gate_share: Share = Field(
        0.1,
        description="Share of the train dialogues set aside for promotion, where the corpus names no splits; nothing "
        "that learns or chooses sees them. 0: promotion looks at the test split.",
    )
    seed: int = Field(0, ge=0, description="Of the example corpus and of the assignment of dialogues to splits.")
    dialogues: int = Field(320, ge=12, description="Dialogues in the example corpus.")
    iemocap: IemocapParameters = Field(IemocapParameters(), description="Labels and sessions of `iemocap`.")
    limits: LimitParameters = Field(LimitParameters(), description="What a file may cost.")


class WordsParameters(Parameters):
    """How recordings without a transcript get one (the extra `words`)."""

    engine: Literal["faster-whisper"] = Field("faster-whisper", description="What writes down speech.")
    model: str = Field(
        "tiny.en",
        description="`tiny.en` (English, small and quick, comes with the extra), a folder with a Whisper model for "
        "CTranslate2, or a hub id such as `Systran/faster-whisper-small`; `hbaf models fetch whisper:ID` brings it.",
    )
    revision: str = Field("main", description="Commit, tag or branch of a hub id.")
    language: str | None = Field(None, description="Code such as `en` or `de`; default: heard in each recording.")
    speakers: int | None = Field(
        None, ge=1, description="People on one channel; default: as many voices as are heard. Stereo: one per channel."
    )
    distance: Share = Field(0.37, description="Mean cosine distance of voices above which they are two people.")
    longest_turn: float = Field(
        20.0, gt=0, description="Seconds after which the next sentence of the same person is a turn of its own."
    )
    beam: int = Field(5, ge=1, description="Beams of the search for words; 1 is quickest.")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "int8", "float16", "float32"] = Field(
        "auto", description="Of the recogniser's numbers: int8 on CPUs (a quarter of the time), float16 on a GPU."
    )
    place: Literal["beside", "home"] = Field(
        "beside", description="Where transcripts go; into the home in any case where the source cannot be written."
    )
    workers: int | None = Field(None, ge=1, description="Recordings at a time; default: one per core, one on a GPU.")


class ValidationParameters(Parameters):
    """What is plausible. A rule that is `critical` stops the run, a `warning` is reported."""

    bad_share: Share = Field(0.02, description="Share of utterances that may break a row rule before it counts.")
    seconds: tuple[float, float] = Field((0.1, 60.0), description="Plausible length of an utterance.")
    loudness: tuple[float, float] = Field((-60.0, -3.0), description="Plausible loudness, dB relative to full scale.")
    words_per_second: tuple[float, float] = Field((0.2, 8.0), description="Plausible speech rate.")
    voiced_share: Share = Field(0.02, description="Smallest share of an utterance within 40 dB of its loudest frame.")
    announced_gap: float = Field(
        1.0, ge=0, description="Seconds by which the audio may differ from what the source says it lasts."
    )
    label_shift: Share = Field(0.05, description="Change of a label's share since the last version that passed.")


class FeatureParameters(Parameters):
    """Which representations are used, and how they are computed."""

    audio: str = Field(
        "compare2016",
        description="Audio extractor; `mfcc` is free for commercial use, `speech:ID` is a model of the hub.",
    )
    text: str = Field(
        "minilm", description="Text extractor; `roberta-large` is the paper's, `encoder:ID` one of the hub."
    )
    commonsense: str | None = Field(None, description="Commonsense extractor (`comet`), or none.")
    settings: dict[str, dict[str, str | int | float | bool | None]] = Field(
        {}, description='Settings of the extractors by modality, as {"audio": {"layer": 9}, "text": {"pool": "cls"}}.'
    )
    select: int | None = Field(
        512, ge=1, description="Audio numbers kept by the SVM selection; applies to openSMILE functionals only."
    )
    svm_c: float = Field(0.001, gt=0, description="C of the LinearSVC that ranks the numbers.")
    speaker_relative: SpeakerRelative = Field(
        "none",
        description="Appends how each turn sounds beside its speaker's other turns: `running` the turns before, `both` "
        "also all of the dialogue.",
    )
    scale_text: bool = Field(False, description="z-score the text vectors on train, as the audio ones always are.")
    store: str | None = Field(
        None, description="Folder or URL of the feature store, as `s3://bucket/features`; default: in the home folder."
    )
    workers: int | None = Field(None, ge=1, description="Extraction processes; default: one per core.")
    batch_size: int = Field(64, ge=1, description="Utterances in one batch of a text or speech model.")
    device: Literal["auto", "cpu", "cuda"] = "auto"


class FineTuneParameters(Parameters):
    """Fine-tuning of a text or speech encoder on the train split, by classification of single utterances."""

    encoder: str = Field("minilm", description="Base: `minilm`, `roberta-large`, `encoder:ID`, `speech:ID` ...")
    cross_fit: int = Field(
        5, ge=0, description="Folds of train dialogues, each with an encoder that has not seen them; 0: none."
    )
    align: bool = Field(True, description="Rotate the vectors of each fold's encoder onto those of the whole one.")
    max_epochs: int = Field(3, ge=1)
    patience: int | None = Field(1, ge=1, description="Epochs without a lower loss on dev; none: all, keep the last.")
    batch_size: int = Field(32, ge=1, description="Utterances in a batch.")
    learning_rate: float = Field(5e-5, gt=0, description="Of the encoder.")
    head_learning_rate: float = Field(1e-3, gt=0, description="Of the classification head.")
    weight_decay: float = Field(0.01, ge=0, description="Decoupled, as AdamW's.")
    warmup: Share = Field(0.1, description="Share of the steps in which the learning rate rises; then it falls.")
    dropout: float = Field(0.1, ge=0, lt=1, description="On the mean before the head.")
    frozen_layers: int = Field(0, ge=0, description="Lowest layers, with the embeddings, that stay as they are.")
    class_weights: bool = Field(False, description="Weight the cross-entropy by inverse class frequency on train.")
    clip_norm: float = Field(1.0, gt=0, description="Largest gradient norm.")
    context: int = Field(
        0, ge=0, le=20, description="Turns before that a text encoder reads with each one; needs a larger max_length."
    )
    max_length: int = Field(
        64, ge=8, description="Tokens of a text, or of it and the turns before; the rest is cut, in the features too."
    )
    max_seconds: float = Field(8.0, gt=0, description="Audio of an utterance that training hears; features hear all.")
    seed: int = Field(0, ge=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(None, ge=1, description="torch threads; default: torch's own choice.")


class ModelParameters(Parameters):
    """HBAF and every decision where the paper is silent; the first value named is the default (docs/method.md)."""

    variant: Literal["bimodal", "audio", "text"] = Field(
        "bimodal", description="`audio` and `text` keep that stream alone."
    )
    dim: int = Field(512, ge=8, description="D, the model dimension.")
    heads: int = Field(8, ge=1, description="Heads of the audio context network's Transformer.")
    encoder_layers: int = Field(3, ge=1)
    feedforward: int = Field(2048, ge=8, description="Width of the feed-forward layers.")
    conv_channels: int = Field(64, ge=4, description="Channels of the audio context network's convolution.")
    fusion_heads: int = Field(1, ge=1, description="Heads of the bimodal attention.")
    dropout: float = Field(0.1, ge=0, lt=1)
    audio_context: bool = Field(True, description="False: one linear layer in place of the audio context network.")
    current_utterance: bool = Field(True, description="False: Eq. 1-6 as printed, which never see utterance t itself.")
    context_attention: Literal["query", "scalar", "elementwise"] = Field("query", description="Reading of Eq. 1-2.")
    cross_direction: Literal["literal", "crossed"] = Field("literal", description="Reading of Eq. 10-13.")
    anchor: Literal["equation", "prose"] = Field("equation", description="Reading of Eq. 18-20.")
    fused_view: Literal["projection", "zero_pad", "tile"] = Field(
        "projection", description="How 1024 numbers are compared with 512."
    )
    fusion: bool = Field(True, description="False: ablation without the fusion module, h = H.")
    bimodal_attention: bool = Field(True, description="False: ablation, streams stand in for attention results.")
    gate: bool = Field(True, description="False: ablation, the mean of self and cross.")
    residual: bool = Field(True, description="False: ablation, h = H*.")
    modality_dropout: Share = Field(0.0, description="Chance that an utterance loses one modality in training.")
    pre_norm: bool = Field(False, description="True: normalise before each part of encoder and fusion, not after it.")
    speaker_embedding: bool = Field(False, description="True: both streams are told who speaks (order of appearance).")
    symmetric: bool = Field(False, description="True: each contrastive term is the mean of both directions.")
    supervised: float = Field(
        0.0, ge=0, description="Weight of a contrastive term that draws utterances of one emotion together."
    )
    text_direction: Literal["causal", "both"] = Field(
        "causal", description="`both`: the text context network also reads each dialogue from its end."
    )
    split_context: bool = Field(
        False, description="True: the text context is that of the speaker's own turns beside that of the others'."
    )
    own_path: Literal["none", "audio", "text", "both"] = Field(
        "none", description="The classifier also reads what the utterance says by itself, W_a x_a and W_l x_l."
    )
    experts: bool = Field(
        False, description="True: audio, text and both decide each for itself, and a gate mixes the decisions."
    )
    unimodal: float = Field(0.0, ge=0, description="Weight of the cross-entropy of audio alone and of text alone.")
    distillation: float = Field(
        0.0, ge=0, description="Weight with which audio alone and text alone learn from the fused decision."
    )
    contrast_heads: bool = Field(
        False, description="True: the contrastive terms compare projections that the classifier does not read."
    )
    same_label_negatives: bool = Field(
        True, description="False: utterances of the same emotion are no negatives of the contrastive terms."
    )
    mu: float = Field(
        0.2, ge=0, description="μ, weight of the contrastive loss.", json_schema_extra={"search": [0.0, 1.0]}
    )
    lambda1: float = Field(1.0, ge=0, description="λ1, audio against fused.", json_schema_extra={"search": [0.0, 2.0]})
    lambda2: float = Field(1.0, ge=0, description="λ2, text against fused.", json_schema_extra={"search": [0.0, 2.0]})
    lambda3: float = Field(1.0, ge=0, description="λ3, audio against text.", json_schema_extra={"search": [0.0, 2.0]})
    tau: float = Field(0.1, gt=0, description="τ, temperature.", json_schema_extra={"search": [0.02, 1.0], "log": True})


class TrainingParameters(Parameters):
    """One training run."""

    recipe: str = Field("paper", description="Name of the set of values this started from; only a label.")
    seed: int = Field(0, ge=0)
    learning_rate: float = Field(1e-4, gt=0, json_schema_extra={"search": [1e-5, 1e-3], "log": True})
    weight_decay: float = Field(3e-4, ge=0, description="Coupled L2 with `adam`, decoupled with `adamw`.")
    optimizer: Literal["adam", "adamw"] = "adam"
    schedule: Literal["constant", "cosine", "linear"] = Field(
        "constant", description="How the learning rate falls after the warm-up, towards 0 at `max_epochs`."
    )
    warmup: Share = Field(0.0, description="Share of the steps of `max_epochs` in which the learning rate rises.")
    batch_dialogues: int = Field(32, ge=1, description="Dialogues in a batch.")
    max_epochs: int = Field(100, ge=1)
    patience: int = Field(15, ge=1, description="Epochs without a better `monitor` on dev before training stops.")
    monitor: Literal["cross_entropy", "total", "weighted_f1"] = Field(
        "cross_entropy",
        description="What chooses the epoch on dev: utterance-weighted cross-entropy, or with L_inter, or weighted F1.",
    )
    class_weights: bool = Field(False, description="Weight the cross-entropy by inverse class frequency on train.")
    class_weight_power: Share = Field(1.0, description="1 makes classes count alike, 0 utterances, 0.5 is between.")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of the target that all classes get alike.")
    focal_gamma: float = Field(0.0, ge=0, description="γ of the focal loss; 0: cross-entropy.")
    prior_correction: float = Field(
        0.0,
        ge=0,
        description="Logits are learned beside this multiple of the log frequency on train, so that decisions lean to "
        "rare emotions; 1 makes all alike (Menon et al., 2021).",
    )
    averaging: Literal["none", "ema", "swa"] = Field(
        "none", description="Score dev with, and keep, a mean of weights: moving over steps, or plain over epochs."
    )
    averaging_decay: float = Field(0.99, gt=0, lt=1, description="Of `ema`, each step.")
    averaging_start: int = Field(0, ge=0, description="Epochs before averaging begins.")
    clip_norm: float | None = Field(None, gt=0, description="Largest gradient norm.")
    members: int = Field(
        1, ge=1, description="Seeds from `seed` on that are trained; a prediction is the mean of their probabilities."
    )
    label_chain: Literal["none", "both", "causal"] = Field(
        "none",
        description="Decode with what each speaker, and the other one, said last: `both` knows the whole dialogue, "
        "`causal` the turns up to the one in question.",
    )
    target_precision: Share = Field(
        0.8, description="Share of right labels on dev that predictions must reach not to be `uncertain`."
    )
    precision: Literal["fp32", "bf16"] = "fp32"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(None, ge=1, description="torch threads; default: torch's own choice.")


class SearchParameters(Parameters):
    """A search for better settings; the ranges come from `search` in the metadata of the fields above."""

    trials: int = Field(
        0, ge=0, description="Finished trials (complete or pruned) of the study; 0 trains once with the given settings."
    )
    hours: float | None = Field(
        None, gt=0, description="No trial begins later than this; with `trials: 0` the only budget."
    )
    study: str | None = Field(
        None, description="Name; the same name goes on with the same study. Default: from corpus and settings."
    )
    storage: str | None = Field(
        None,
        description="Database URL of the study. Default: HBAF_SEARCH_STORAGE in the environment, which keeps passwords "
        "out of this form, or SQLite in the home.",
    )
    space: dict[str, tuple[float, float] | float] = Field(
        {}, description='Other ranges, or one number to freeze: {"tau": [0.05, 0.5], "mu": 0.2}.'
    )
    workers: int = Field(1, ge=1, description="Trial workers at a time.")
    pool: str | None = Field(
        None,
        description="Work pool whose workers run the trials (`local`, `gpu`); default: `local` if a server has it.",
    )
    workers_per_gpu: int = Field(1, ge=1, description="Local trial workers that share one GPU.")
    seed: int = Field(0, ge=0, description="Of the sampler; trials themselves use `training.seed`.")
    prune: bool = Field(True, description="Stop a trial whose dev weighted F1 is below the median at that epoch.")
    startup_trials: int = Field(5, ge=0, description="Trials that are complete before any is pruned.")
    warmup_epochs: int = Field(5, ge=0, description="Epochs of a trial before it can be pruned.")
    folds: int = Field(
        1,
        ge=1,
        description="Parts of train and dev by dialogue, each dev once; a trial's score is their mean. 1: own dev.",
    )
    top: int = Field(3, ge=1, description="Best settings that are trained again over several seeds.")
    seeds: int = Field(5, ge=1, description="Fresh seeds of each of them; the mean on dev chooses.")
    heartbeat: int = Field(
        20,
        ge=1,
        description="Seconds between a running trial's signs of life; after three missed it is tried again once.",
    )
    system_metrics: bool = Field(False, description="Log CPU, memory and GPU use of every trial.")

    @property
    def wanted(self) -> bool:
        """Whether there is anything to search."""
        return self.trials > 0 or self.hours is not None


class ComparisonParameters(Parameters):
    """Which systems are compared, how often, on what."""

    systems: str = Field(
        "all",
        description="Names, groups (`all`, `ablations`, `decisions` ...), `hbaf:gate=false`, `hbaf@paper`, "
        "`./mine.py:MyFusion`; with commas between.",
    )
    seeds: int = Field(3, ge=1, description="Runs of each system.")
    first_seed: int = Field(0, ge=0)
    recipe: str = Field("demo", description="Values to start from, for every system: width, learning rate, batches.")
    audio: tuple[str, ...] = Field((), description="Audio representations; default: the recipe's.")
    text: tuple[str, ...] = Field((), description="Text representations; default: the recipe's.")
    trials: int = Field(
        0, ge=0, description="Tuning runs on dev of each system, over learning rate, dropout and width; below 2: none."
    )
    ensemble: bool = Field(False, description="Also compare the mean of each system's seeds, in a block of its own.")
    chain: bool = Field(False, description="Also compare all systems with the label chain behind them, in a table.")
    selection: Literal["dev", "as-published"] = Field(
        "dev",
        description="`as-published` adds a column with the epoch chosen by the test split, as many publications do; "
        "nothing else uses it.",
    )
    workers: int | None = Field(None, ge=1, description="Runs at a time; default: one per core, one on a GPU.")
    reason: str = Field("hbaf compare", description="Why the test split is looked at, for the ledger.")


class MonitorParameters(Parameters):
    """When new conversations are no longer like those that a model was trained on."""

    days: float = Field(7.0, gt=0, description="How far back the conversations go that are looked at together.")
    min_dialogues: int = Field(20, ge=2, description="With fewer dialogues nothing is said.")
    false_alarms: Share = Field(
        0.01, description="Chance that any check is flagged although nothing changed; more checks raise every bound."
    )
    draws: int = Field(500, ge=100, description="Draws of dialogues by which chance is measured.")
    tolerance: Share = Field(0.1, description="Distance, 0..1, up to which a change is too small to matter.")
    tolerances: dict[str, Share] = Field(
        {"expected_f1": 0.05, "missing_audio": 0.05, "missing_text": 0.05},
        description="The same for single checks, by name.",
    )

    def tolerance_of(self, check: str) -> float:
        """The tolerance of a check: its own, or that of all."""
        return self.tolerances.get(check, self.tolerance)


class PromotionParameters(Parameters):
    """What a candidate has to show before it becomes the champion."""

    minimum_effect: float = Field(
        0.0, ge=-1, le=1, description="Weighted F1 by which the lower end of the interval must be above the champion's."
    )
    level: float = Field(0.95, gt=0, lt=1, description="Of that two-sided interval.")
    draws: int = Field(2000, ge=100, description="Bootstrap draws of dialogues.")
    minimum_dialogues: int = Field(10, ge=1, description="Labelled dialogues without which a champion is not replaced.")
    class_floor: Share = Field(0.05, description="F1 that no single emotion may have lost beyond doubt.")
    class_support: int = Field(10, ge=1, description="Utterances without which an emotion's F1 is not judged.")
    calibration_tolerance: Share = Field(0.02, description="By how much the calibration error may be worse for sure.")
    minimum_speed: float = Field(20.0, ge=0, description="Utterances per second, features ready, on this machine.")
    maximum_megabytes: float = Field(2000.0, gt=0, description="Size of the model package.")
    search_margin: Share = Field(
        0.05,
        description="Weighted F1 on dev by which a single run of another variant must be ahead of the newest search's "
        "candidate to be judged in its place.",
    )
    approval: bool = Field(False, description="A person must agree before the alias moves.")
    approval_hours: float = Field(24.0, gt=0, description="How long a run waits for that person.")


# What gained most over the paper's reading on dev, on the mean of corpora (docs/findings.md).
ADDITIONS: dict[str, Any] = {"experts": True, "unimodal": 0.5, "cross_direction": "crossed", "own_path": "audio"}

# A recipe is a starting point: values that differ from the defaults, per stage.
RECIPES: dict[str, dict[str, dict[str, Any]]] = {
    "paper": {"model": {}, "training": {"recipe": "paper"}, "features": {}},
    # The paper's width with the additions.
    "best": {
        "model": {**ADDITIONS},
        "training": {
            "recipe": "best",
            "class_weights": True,
            "class_weight_power": 0.5,
            "members": 3,
            "label_chain": "both",
        },
        "features": {},
    },
    # `best`, narrow and quick: for the example corpus and laptops. Not the paper's numbers, and its name says so.
    "demo": {
        "model": {
            **ADDITIONS,
            "dim": 96,
            "heads": 4,
            "encoder_layers": 1,
            "feedforward": 192,
            "conv_channels": 48,
            "dropout": 0.4,
            "modality_dropout": 0.15,
        },
        "training": {
            "recipe": "demo",
            "members": 3,
            "label_chain": "both",
            "learning_rate": 1e-3,
            "batch_dialogues": 8,
            "max_epochs": 40,
            "patience": 6,
            # On few dialogues the loss on dev rises again long before the decisions are at their best.
            "monitor": "weighted_f1",
            "clip_norm": 1.0,
        },
        "features": {"scale_text": True},
    },
}


class Settings(NamedTuple):
    """What decides a training on given data."""

    features: FeatureParameters
    model: ModelParameters
    training: TrainingParameters


def from_recipe(
    recipe: str,
    *,
    model: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    features: dict[str, Any] | None = None,
) -> Settings:
    """The values of a recipe with single ones changed.

    Raises:
        RecipeError: no such recipe.
        pydantic.ValidationError: a value out of bounds or a misspelt name.
    """
    if recipe not in RECIPES:
        raise RecipeError(f"no recipe {recipe!r}; there are: {', '.join(RECIPES)}")
    start = RECIPES[recipe]
    return Settings(
        FeatureParameters(**{**start["features"], **(features or {})}),
        ModelParameters(**{**start["model"], **(model or {})}),
        TrainingParameters(**{**start["training"], **(training or {})}),
    )
