"""Verbs about encoders: fine-tune one, fetch and check what was made elsewhere."""

from functools import partial
from typing import Any, Literal

from hbaf.verbs.options import AS_IS, CorpusOptions, Recipe, Set, SettingError, Source, aloud, settings


def finetune(
    source: Source,
    *,
    text: str | None = None,
    audio: str | None = None,
    context: int | None = None,
    options: CorpusOptions = AS_IS,
) -> int:
    """Fine-tunes a text or speech encoder to classify emotions on the train split.

    The features of train utterances come from encoders that have not seen them (one for each fold of train), so that
    a model trained on these features does not overfit to them.

    Try:

        hbaf finetune example --text minilm --set finetune.max_epochs=2

        hbaf finetune MELD --text minilm --context 4 --set finetune.max_length=128

        hbaf finetune ~/calls --audio speech:microsoft/wavlm-base-plus --set finetune.frozen_layers=8

    Args:
        text: Pretrained text encoder to start from: `minilm`, `roberta-large`, `encoder:ID`.
        audio: Or pretrained speech model to start from: `wav2vec2`, `speech:ID`.
        context: Number of previous turns that the text encoder reads with each turn; default: 0.
    """
    from hbaf import pipeline
    from hbaf.parameters import FineTuneParameters

    stages = ("corpus", "finetune")
    if text and audio:
        raise SettingError("--text and --audio: fine-tune one encoder at a time.")
    given: dict[str, Any] = {"encoder": text or audio} if text or audio else {}
    given |= {} if context is None else {"context": context}
    parameters = FineTuneParameters(**{**given, **options.of("finetune", stages)})
    found = pipeline.finetune(options.corpus(source, stages), parameters, progress=options.progress, step=aloud)
    encoder = found.encoder
    print(
        f"{'reused' if encoder.reused else 'fine-tuned'} {encoder.name}, {parameters.encoder} "
        f"on {found.reference.name}\n"
        f"dev weighted F1 {encoder.dev['weighted_f1']:.3f} with its own head\nfolder {encoder.folder}\n"
        f"next: hbaf train {source} --set features.{encoder.modality}={encoder.name}"
    )
    return 0


def models(
    action: Literal["list", "fetch", "verify", "check", "convert"] = "list",
    *names: str,
    recipe: Recipe = "paper",
    set_: Set = None,  # cyclopts wants a list
) -> int:
    """Lists, downloads and verifies pretrained weights, or checks an extractor or system that you wrote.

    Try:

        hbaf models list

        hbaf models fetch --recipe paper --set features.text=roberta-large --set features.commonsense=comet

        hbaf models fetch speech:microsoft/wavlm-base-plus

        hbaf models fetch whisper:Systran/faster-whisper-small speaker-encoder

        hbaf models verify

        hbaf models check ./mine.py:MyFeatures ./mine.py:MyFusion

        hbaf models convert vggish ~/Downloads/vggish-10086976.pth

        hbaf models convert openl3 ~/Downloads/openl3_audio_mel256_music-v0_4_0.h5.gz

    Args:
        action: `list` the weights here; `fetch` those of a recipe from the Hugging Face hub; `verify` the files against
            the checksums recorded then; `check` tests whether an extractor or system works with hbaf; `convert` keeps
            published weights in the home, of a file that you have: `vggish FILE`, `openl3 FILE`.
        names: Extractors to `fetch` or `check`; default: those of the recipe with `--set`. For `fetch` also what
            `hbaf transcribe` uses: `whisper:ID`, `whisper:ID@REVISION`, `speaker-encoder`. For `check` also a system's
            class, as `./mine.py:MyFusion`.
    """
    from hbaf.features import fetch
    from hbaf.features.columns import names as named
    from hbaf.features.contract import check_extractor
    from hbaf.features.own_class import is_own, own_class
    from hbaf.features.registry import make_extractor
    from hbaf.transcription.models import fetch_model, is_of_words

    if action == "convert":
        return _convert(names)
    wanted = list(names) or list(named(settings(recipe, set_)[0]).values())
    if action == "fetch":
        for name in wanted:
            model = fetch_model(name) if is_of_words(name) else fetch.fetch_weights(name)
            print(f"{name:24} {model.message()}" if model else f"{name:24} needs no weights from the hub")
    elif action == "check":
        from torch import nn

        from hbaf.baselines.contract import check_system

        for name in wanted:
            if is_own(name) and issubclass(own_class(name), nn.Module):
                check_system(own_class(name))
                print(f"{name}: keeps the contract of systems")
                continue
            check_extractor(make_extractor(name), partial(make_extractor, name))
            print(f"{name}: keeps the contract of extractors")
    elif action == "verify":
        problems = fetch.verify_weights()
        print("\n".join(problems) or "every model in models.lock.json is whole")
        return 1 if problems else 0
    else:
        for line in fetch.list_weights():
            print(line)
    return 0


def _convert(names: tuple[str, ...]) -> int:
    from pathlib import Path

    from hbaf.features.audio.window_networks import NETWORKS, convert
    from hbaf.features.weights import WeightsError

    if len(names) != 2 or names[0] not in NETWORKS:
        ways = " or ".join(f"`hbaf models convert {name} FILE`" for name in NETWORKS)
        raise WeightsError(f"hbaf models convert: say what and which file, as {ways}.")
    name, file = names
    weights = convert(name, Path(file).expanduser())
    print(f"{name} {weights.revision[:12]} is kept in {weights.folder}: `--set features.audio={name}`")
    return 0
