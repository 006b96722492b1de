"""COMET: what an utterance makes others feel, what happens to its speaker, and what the speaker wants (l^e, l^i, l^p).

COMET-ATOMIC-2020 is a BART-large that completes "{event} {relation} [GEN]"; its hidden state before the first word is
the feature. COSMIC's mapping of relations to the paper's external, internal and purpose states.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np

from hbaf.features.text.language_models import (
    checked_length,
    chosen_device,
    half_precision,
    length_batches,
    load_tokenizer,
    masked_mean,
    quiet_loading,
    read_config,
)
from hbaf.features.weights import locate_weights

VERSION = 1  # raised when the golden vectors move
MODEL = "mismayil/comet-bart-ai2"
RELATIONS = {"external": "xReact", "internal": "xEffect", "purpose": "xIntent"}  # in the order of the vector
Pool = Literal["decoder_start", "encoder_mean"]


class Comet:
    """Three vectors per utterance, one after the other: reshape a row to (3, d_model).

    Args:
        name: the extractor's name.
        model: hub id or folder of a BART-like model trained on ATOMIC.
        revision: of the hub id.
        pool: `decoder_start`: one decoder step from the start token, last layer, position 0; `encoder_mean`: the mean
            of the encoder's last layer over the tokens.
        max_length: tokens of the query; a longer utterance loses its beginning, never the relation behind it.
        batch_size: queries that are computed at once; changes nothing but the speed.
        device: "auto" takes a GPU where there is one, in bfloat16.
        download: whether the hub may be asked; default: the variable HBAF_DOWNLOAD.

    Raises:
        WeightsError: the weights are not here.
    """

    modality: Literal["audio", "text"] = "text"
    in_processes = False
    selected = False
    licence = "unknown: the checkpoint names none; the original code of COMET-ATOMIC-2020 is Apache-2.0"
    commercial = False

    def __init__(
        self,
        name: str = "comet",
        *,
        model: str = MODEL,
        revision: str = "main",
        pool: Pool = "decoder_start",
        max_length: int = 128,
        batch_size: int = 64,
        device: str = "auto",
        download: bool | None = None,
    ) -> None:
        if pool not in ("decoder_start", "encoder_mean"):
            raise ValueError(f'{name}: pool must be "decoder_start" or "encoder_mean", not {pool!r}')
        self.name = name
        self.pool = pool
        self.batch_size, self.device = batch_size, device
        self.weights = locate_weights(model, revision, download)
        config = read_config(self.weights)
        self.dim = len(RELATIONS) * int(config["d_model"])
        self.max_length = checked_length(name, max_length, config)

    def identity(self) -> dict[str, object]:
        """What the vectors depend on: weights, relations, pooling and query length; neither batch size nor device."""
        return {
            "name": "comet",
            "version": VERSION,
            "model": self.weights.model,
            "revision": self.weights.revision,
            "relations": list(RELATIONS.values()),
            "pool": self.pool,
            "max_length": self.max_length,
        }

    def extract(self, items: Sequence[np.ndarray] | Sequence[str]) -> np.ndarray:
        """(items, 3 * d_model) float32: external, internal, purpose; NaN rows for blank texts."""
        texts = [str(item) for item in items]
        vectors = np.full((len(texts), self.dim), np.nan, np.float32)
        spoken = [row for row, text in enumerate(texts) if text.strip()]
        if spoken:
            queries = [f"{texts[row]} {relation} [GEN]" for row in spoken for relation in RELATIONS.values()]
            vectors[spoken] = self._states(queries).reshape(len(spoken), self.dim)
        return vectors

    def _states(self, queries: Sequence[str]) -> np.ndarray:
        """(queries, d_model)."""
        import torch

        states = np.empty((len(queries), self.dim // len(RELATIONS)), np.float32)
        tokens = self._tokenizer(list(queries), truncation=True, max_length=self.max_length)["input_ids"]
        device = chosen_device(self.device)
        for rows, ids, mask in length_batches(tokens, self.batch_size, self._tokenizer.pad_token_id):
            ids, mask = ids.to(device), mask.to(device)
            start = torch.full((len(rows), 1), self._model.config.decoder_start_token_id, device=device)
            with torch.inference_mode(), half_precision(device):
                if self.pool == "encoder_mean":
                    encoded = self._model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
                    found = masked_mean(encoded.float(), mask)
                else:
                    output = self._model(
                        input_ids=ids, attention_mask=mask, decoder_input_ids=start, output_hidden_states=True
                    )
                    found = output.decoder_hidden_states[-1][:, 0]
            states[rows] = found.float().cpu().numpy()
        return states

    @cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self.weights, truncation_side="left")

    @cached_property
    def _model(self) -> Any:
        import torch
        from transformers import AutoModelForSeq2SeqLM

        # The checkpoint is a .bin: transformers reads it with torch's weights-only reader, which runs no code.
        with quiet_loading():
            model = AutoModelForSeq2SeqLM.from_pretrained(
                self.weights.folder, local_files_only=True, dtype=torch.float32, trust_remote_code=False
            )
        return model.eval().to(chosen_device(self.device))
