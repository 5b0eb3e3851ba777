"""BLIP-2's two ways of comparing a picture with a prompt, by 32 learned queries that look at the picture (the Q-Former).

    itm    softmax(mean over the queries of itm_head(q))[1]       queries and prompt attend to each other: a probability
    itc    max over the queries of cos(vision_proj(q), text_proj(t))       queries and prompt apart: a cosine

Paper: Li et al., BLIP-2, Bootstrapping Language-Image Pre-training with Frozen Image Encoders and Large Language Models, ICML
2023. Original: https://github.com/salesforce/LAVIS, `blip2_image_text_matching.py`; the weights are the ones converted for
transformers. Two things are the original's and not the conversion's: the last normalisation of the picture tower has an epsilon
of 1e-5, and the vocabulary is BERT's with one mark, so that nothing in a prompt becomes a placeholder of pictures.

Raters whose cards name the same weights share one network of a process, and a picture that one of them has sent through the
tower, by far the larger part, costs the other nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from curate.cards import CardFile
from curate.errors import WeightsError
from curate.rater_settings import Settings
from curate.scorers.arguments import arguments
from curate.scorers.devices import DTYPES
from curate.scorers.libraries import import_transformers
from curate.scorers.matching.bert_text import WordPieces, Words, load_words
from curate.scorers.network import NetworkRater
from curate.scorers.passes import Inputs, Pixels, Scores
from curate.scorers.picture_arguments import PictureArguments
from curate.scorers.pixels import Normalise, declared_preparation
from curate.scorers.pretrained import MODEL_FILES, load_pretrained
from curate.scorers.sharing import Memo, loaded_once, weights_key
from curate.scorers.transfers import rows_of
from curate.scorers.vectors import unit
from curate.weights import weights_folder

_MARKS = ("[DEC]",)
_LAST_EPSILON = 1e-5

REMEMBERED_PICTURES = 256
"""As many as are on their way to the second of two raters; 370 MB at 257 tokens of 1408 numbers in float32."""

REMEMBERED_TEXTS = 8192


class Blip2Arguments(PictureArguments):
    """The `args` of a card for `Comparison`."""

    head: Literal["itm", "itc"]
    max_tokens: int = Field(default=32, ge=3)
    """Of a prompt, the marks of beginning and end included; the original cuts at 32."""


class QueryNetwork:
    """The picture tower, the Q-Former and the heads, with what was computed of pictures and prompts.

    The tower runs in the precision that is asked for, everything else in float32.
    """

    def __init__(self, model: Any, words: Words, *, device: torch.device, dtype: torch.dtype) -> None:
        self._model = model.to(device)
        self._model.vision_model.to(dtype)
        self.words = words
        self.image_side = int(model.config.vision_config.image_size)
        self._pictures: Memo[Tensor] = Memo(REMEMBERED_PICTURES)
        self._texts: Memo[Tensor] = Memo(REMEMBERED_TEXTS)

    def forget(self) -> None:
        """Give back the memory of pictures and prompts."""
        self._pictures.clear()
        self._texts.clear()
        self.words.forget()

    def tokens(self, pixels: Pixels, keys: Sequence[str] | None) -> Float[Tensor, "batch tokens width"]:
        """What the tower makes of normalised pixels; `keys` name the pixels, None remembers nothing."""
        if keys is None:
            return self._look(pixels)
        return torch.stack(self._pictures.many(keys, lambda new: list(self._look(rows_of(pixels, new))))).float()

    def match(self, picture: Float[Tensor, "batch tokens width"], pieces: WordPieces) -> Float[Tensor, "batch 2"]:
        """Logits of the two answers, that prompt and picture do not belong together and that they do."""
        queries = self._queries(len(picture))
        states = self._model.qformer(
            query_embeds=self._model.embeddings(input_ids=pieces.ids, query_embeds=queries),
            query_length=queries.shape[1],
            attention_mask=torch.cat([pieces.mask.new_ones(queries.shape[:2]), pieces.mask], dim=1),
            encoder_hidden_states=picture,
        ).last_hidden_state
        logits: Tensor = self._model.itm_head(states[:, : queries.shape[1]]).mean(dim=1)
        return logits

    def cosines(self, picture: Float[Tensor, "batch tokens width"], prompts: Sequence[str]) -> Float[Tensor, "batch queries"]:
        """Cosine of each query, having looked at the picture, with the prompt. A prompt goes through the network once."""
        queries = self._queries(len(picture))
        seen = self._model.qformer(query_embeds=queries, encoder_hidden_states=picture).last_hidden_state
        texts = torch.stack(self._texts.many(prompts, lambda new: self._embed([prompts[position] for position in new])))
        cosines: Tensor = (unit(self._model.vision_projection(seen)) @ texts[:, :, None])[..., 0]
        return cosines

    def split(self, prompts: Sequence[str]) -> WordPieces:
        """The prompts as the network reads them."""
        return self.words(prompts, self._model.query_tokens.device)

    def _look(self, pixels: Pixels) -> Tensor:
        weight = self._model.vision_model.embeddings.patch_embedding.weight
        tokens: Tensor = self._model.vision_model(pixel_values=pixels.to(weight.device, weight.dtype)).last_hidden_state
        return tokens.float()

    def _queries(self, batch: int) -> Tensor:
        queries: Tensor = self._model.query_tokens.expand(batch, -1, -1)
        return queries

    @torch.no_grad()
    def _embed(self, prompts: Sequence[str]) -> list[Tensor]:
        pieces = self.split(prompts)
        embeddings = self._model.embeddings(input_ids=pieces.ids)
        states = self._model.qformer(query_embeds=embeddings, query_length=0, attention_mask=pieces.mask).last_hidden_state
        return list(unit(self._model.text_projection(states[:, 0])))


class Comparison(NetworkRater):
    """Judges pictures by one of BLIP-2's two heads."""

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = arguments(file, Blip2Arguments)
        super().__init__(file, settings, preparations=[declared_preparation(args.preprocess, where=file.where)])
        key = ("blip-2", weights_key(file), args.mean, args.std, args.max_tokens, args.dtype, str(self.device))
        self._network = loaded_once(key, lambda: _load(file, args, self.device, offline=settings.offline))
        args.check_side(file, self._network.image_side)
        self._head = args.head
        self._normalise = Normalise(args.mean, args.std)

    def close(self) -> None:
        self._network.forget()

    def forward(self, inputs: Inputs) -> Scores:
        picture = self._network.tokens(self._normalise(inputs.pixels["response"]), inputs.keys_of("response"))
        pieces = self._network.split(inputs.prompts)
        if self._head == "itm":
            values = self._network.match(picture, pieces).softmax(dim=-1)[:, 1:]
        else:
            values = self._network.cosines(picture, inputs.prompts).amax(dim=-1, keepdim=True)
        return Scores(values=values, notes=self._network.words.notes(pieces))


def _load(file: CardFile, args: Blip2Arguments, device: torch.device, *, offline: bool) -> QueryNetwork:
    folder = weights_folder(file, "model", *MODEL_FILES, offline=offline)
    model = load_pretrained(import_transformers().Blip2ForImageTextRetrieval, folder, where=file.where, model_type="blip-2")
    config = model.config.qformer_config
    if not config.use_qformer_text_input:
        raise WeightsError(f"{file.where}: the BLIP-2 in {folder} reads no texts: it was made for captions, not for comparing")
    model.vision_model.post_layernorm.eps = _LAST_EPSILON
    words = load_words(file, length=args.max_tokens, vocabulary_size=config.vocab_size, marks=_MARKS, offline=offline)
    return QueryNetwork(model, words, device=device, dtype=DTYPES[args.dtype])
