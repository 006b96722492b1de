"""Text encoders: mean of the last layers, then one vector per utterance (the paper's l^r, from RoBERTa-large).

B utterances in a batch, T tokens (padded), D width of the encoder.
"""

import inspect
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from hbaf.corpus.windows import LONGEST, Window, as_window
from hbaf.features.text.windows import own_tokens, tokenize
from hbaf.features.transformers_internals import model_class
from hbaf.features.weights import Weights, WeightsError, bundled_minilm, locate_weights

VERSION = 1  # raised when the golden vectors move
Pool = Literal["masked_mean", "cls"]


@dataclass(frozen=True)
class Encoder:
    """A known encoder.

    Attributes:
        model: hub id, None for the one in the `examples` extra.
        revision: commit of the hub, pinned.
        layers: how many last layers are averaged.
        licence: of the weights.
    """

    model: str | None
    revision: str
    layers: int
    licence: str


ENCODERS = {
    "minilm": Encoder(None, "", 1, "Apache-2.0"),
    "roberta-large": Encoder("FacebookAI/roberta-large", "722cf37b1afa9454edce342e7895e588b6ff1d59", 4, "MIT"),
}


class LanguageModel:
    """An encoder of the BERT kind.

    Args:
        name: a name of `ENCODERS`, or any other name together with `model`.
        model: hub id or folder, in place of the known one.
        revision: of the hub id; default: the pinned one, "main" for a model that is not known here.
        layers: how many last layers are averaged; default: the known encoder's, else 1.
        pool: `masked_mean` over the tokens of the turn itself, or `cls`, the first token (the paper's `<s>`).
        max_length: tokens, with the special ones; what is longer is cut at its end. With `context` of the window, which
            loses its oldest turns first.
        context: turns before that are read with each one (`hbaf.features.text.windows`), 0..20.
        batch_size: utterances that are computed at once; changes nothing but the speed.
        device: "auto" takes a GPU where there is one, in bfloat16; the CPU computes in float32.
        download: whether the hub may be asked; default: the variable HBAF_DOWNLOAD.

    Raises:
        WeightsError: the weights are not here.
    """

    modality: Literal["audio", "text"] = "text"
    in_processes = False
    selected = False
    licence = "of the weights: see the model's card"  # of the kind; an object knows its own
    commercial = False

    def __init__(
        self,
        name: str = "minilm",
        *,
        model: str | None = None,
        revision: str | None = None,
        layers: int | None = None,
        pool: Pool = "masked_mean",
        max_length: int = 128,
        context: int = 0,
        batch_size: int = 64,
        device: str = "auto",
        download: bool | None = None,
    ) -> None:
        known = ENCODERS.get(name)
        if model is None and known is None:
            raise WeightsError(f"{name}: needs a model. Give `model`: a hub id such as roberta-base, or a folder.")
        if pool not in ("masked_mean", "cls"):
            raise ValueError(f'{name}: pool must be "masked_mean" or "cls", not {pool!r}')
        if not (isinstance(context, int) and 0 <= context <= LONGEST):
            raise ValueError(f"{name}: context must be 0 to {LONGEST} turns, not {context!r}")
        self.name = name
        self.pool, self.max_length, self.context = pool, max_length, context
        self.batch_size, self.device = batch_size, device
        self.layers = layers or (known.layers if known else 1)
        # Weights that the user brings have a licence of their own, which we do not know.
        self.licence = known.licence if known and model is None else "unknown: see the model's card"
        self.commercial = known is not None and model is None
        self.weights = _weights(known, model, revision, download)
        config = read_config(self.weights)
        self.dim = int(config["hidden_size"])
        if self.layers > config["num_hidden_layers"]:
            raise ValueError(f"{name}: has {config['num_hidden_layers']} layers, {self.layers} cannot be averaged")
        self.max_length = checked_length(name, max_length, config)

    def identity(self) -> dict[str, object]:
        """What the vectors depend on: weights, layers, pooling, length and context; neither batch size nor device."""
        return {
            "name": self.name,
            "version": VERSION,
            "model": self.weights.model,
            "revision": self.weights.revision,
            "layers": self.layers,
            "pool": self.pool,
            "max_length": self.max_length,
            **({"context": self.context} if self.context else {}),  # columns without keep their digest
        }

    def extract(self, items: Sequence[np.ndarray] | Sequence[str] | Sequence[Window]) -> np.ndarray:
        """(items, dim) float32; NaN rows for texts without a word character or sign, that is, blank ones."""
        import torch

        windows = [as_window(item) for item in items]
        vectors = np.full((len(windows), self.dim), np.nan, np.float32)
        spoken = [row for row, window in enumerate(windows) if window.text.strip()]
        tokens, starts = self.tokenize([windows[row] for row in spoken])
        device = chosen_device(self.device)
        for rows, ids, mask in length_batches(tokens, self.batch_size, self._tokenizer.pad_token_id):
            with torch.inference_mode(), half_precision(device):
                own = own_tokens(mask, [starts[row] for row in rows])
                computed = self.compute(ids.to(device), mask.to(device), own.to(device))
            vectors[[spoken[row] for row in rows]] = computed.float().cpu().numpy()
        return vectors

    def compute(self, ids: Any, mask: Any, own: Any) -> Any:
        """(B, T) token ids, mask of tokens and mask of the turn's own tokens -> (B, dim)."""
        import torch

        hidden = self._model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
        states = torch.stack(hidden[-self.layers :]).float().mean(dim=0)  # (B, T, D)
        return states[:, 0] if self.pool == "cls" else masked_mean(states, own)

    def tokenize(self, windows: Sequence[Window]) -> tuple[list[list[int]], list[int]]:
        """Token ids of each item, and where in them the turn itself begins."""
        return tokenize(self._tokenizer, windows, self.max_length, self.context)

    @cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self.weights)

    @cached_property
    def _model(self) -> Any:
        return load_text_model(self.weights).eval().to(chosen_device(self.device))


def _weights(known: Encoder | None, model: str | None, revision: str | None, download: bool | None) -> Weights:
    if model is not None:
        return locate_weights(model, revision or "main", download)
    assert known is not None
    if known.model is None:
        return bundled_minilm()
    return locate_weights(known.model, revision or known.revision, download)


def read_config(weights: Weights) -> dict[str, Any]:
    """config.json of a model."""
    return json.loads((weights.folder / "config.json").read_text())


def checked_length(name: str, max_length: int, config: dict[str, Any]) -> int:
    """`max_length`, or an error where the model has fewer positions; two of them may be taken by an offset."""
    positions = config.get("max_position_embeddings")
    if not 8 <= max_length <= (positions - 2 if positions else max_length):
        raise ValueError(f"{name}: max_length must be 8 to {positions - 2 if positions else 'any'}, not {max_length}")
    return max_length


def load_text_model(weights: Weights) -> Any:
    """The bare encoder in float32, on the CPU."""
    import torch
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.from_pretrained(weights.folder, local_files_only=True)
    kind = model_class(config)
    # A checkpoint without a pooler would get a random one, and its warning.
    takes_pooler = "add_pooling_layer" in inspect.signature(kind).parameters
    pooler = {"add_pooling_layer": False} if takes_pooler else {}
    with quiet_loading():
        return AutoModel.from_pretrained(
            weights.folder, local_files_only=True, dtype=torch.float32, trust_remote_code=False, **pooler
        )


def load_tokenizer(weights: Weights, **settings: Any) -> Any:
    """The tokenizer of a model, with a padding token."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(weights.folder, local_files_only=True, **settings)
    if tokenizer.pad_token_id is None:
        raise WeightsError(f"{weights.folder}: the tokenizer has no padding token, so texts cannot be batched")
    return tokenizer


@contextmanager
def quiet_loading() -> Iterator[None]:
    """No bar and no table of unused weights: a pooler that is left out is what we ask for."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def chosen_device(device: str) -> str:
    """`"auto"` -> "cuda" where there is a GPU, else "cpu"; any other device as it is named."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def half_precision(device: str) -> Any:
    """bfloat16 on a GPU, nothing on a CPU."""
    import torch

    return torch.autocast("cuda", torch.bfloat16, enabled=device.startswith("cuda"))


def length_batches(tokens: Sequence[Sequence[int]], size: int, padding: int) -> Iterator[tuple[list[int], Any, Any]]:
    """Batches of similar length, so that little is padded.

    Yields:
        The rows, their token ids (B, T) int64, and the mask (B, T) int64: 1 on tokens.
    """
    import torch

    order = sorted(range(len(tokens)), key=lambda row: -len(tokens[row]))
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        longest = len(tokens[rows[0]])
        ids = torch.full((len(rows), longest), padding, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for place, row in enumerate(rows):
            ids[place, : len(tokens[row])] = torch.tensor(tokens[row])
            mask[place, : len(tokens[row])] = 1
        yield rows, ids, mask


def masked_mean(states: Any, mask: Any) -> Any:
    """(B, T, D) and (B, T) -> (B, D): the mean over the tokens, padding left out."""
    weight = mask.unsqueeze(-1).to(states.dtype)
    return (states * weight).sum(dim=1) / weight.sum(dim=1)
