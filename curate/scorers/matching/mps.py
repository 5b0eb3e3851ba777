"""MPS, the multi-dimensional preference score: what people prefer, judged by the parts of a prompt that a condition asks about.

    exp(logit_scale) * cos(text at its end token, picture's first token after reading the prompt)

Paper: Zhang et al., Learning Multi-dimensional Human Preference for Text-to-Image Generation, CVPR 2024. Original:
https://github.com/Kwai-Kolors/MPS, `infer_one_sample`. CLIP ViT-H/14 gives all its tokens of the picture and of the prompt,
projected to the shared space. A condition, a fixed list of nouns, decides which tokens of the prompt may be read: those whose
largest similarity with a token of the condition is more than `threshold` of the prompt's best. Of the released checkpoint only
the "overall" condition is known; the list belongs to its authors and is read from a file of yours.

What differs from the original, on purpose: similarities are divided by the best of the same prompt, where the original divides
by the best of the whole batch (the two are one for a batch of one, as in its evaluation), and float32 stands where it has half
precision. Padding takes part, as there: a prompt is always 77 tokens, and no mask hides those behind its end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from curate.cards import CardFile
from curate.errors import WeightsError
from curate.fixed_text import FixedText, load_text
from curate.rater_settings import Settings
from curate.scorers.arguments import arguments
from curate.scorers.devices import DTYPES
from curate.scorers.libraries import import_transformers
from curate.scorers.matching.mps_network import CrossNetwork, CrossSizes, cross_name
from curate.scorers.network import NetworkRater
from curate.scorers.passes import Inputs, Pixels, Scores
from curate.scorers.picture_arguments import PictureArguments
from curate.scorers.pixels import Normalise, declared_preparation
from curate.scorers.precision import full_precision
from curate.scorers.reading import notes_on, said_of
from curate.scorers.sharing import Memo, loaded_once, weights_key
from curate.scorers.states import fit, load_state
from curate.scorers.transfers import sent
from curate.scorers.vectors import unit
from curate.weights import weights_folder

_BASE = (("config.json", "tokenizer*.json"), ("config.json", "vocab.json", "merges.txt"))
_SPARE = re.compile(r"position_ids$")

REMEMBERED_PROMPTS = 256
"""80 MB at 77 tokens of 1024 numbers; candidates of a prompt come close together."""


class MpsArguments(PictureArguments):
    """The `args` of a card for `Mps`."""

    condition: FixedText
    """Which text decides what of a prompt is read."""
    threshold: float = Field(ge=0, lt=1)
    """Share of the prompt's best similarity that a token needs. The original has 0.3 where it evaluates, 0.01 where it trains."""
    cross: CrossSizes = CrossSizes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What is known of a prompt before any picture is seen."""

    tokens: Float[Tensor, "tokens width"]
    read: Bool[Tensor, " tokens"]
    """Which tokens the picture may read."""
    end: Float[Tensor, " width"]
    """The token that stands for the whole text; L2-normalised."""
    said: str
    """Of a text that was cut or holds control tokens; else empty."""


class MpsNetwork(nn.Module):
    """CLIP, of which all tokens are used, and the cross network."""

    scale: float
    """exp(logit_scale), read in float32: half precision would move a scale of 100 by one."""

    def __init__(self, clip: Any, sizes: CrossSizes) -> None:
        super().__init__()
        self.clip = clip
        self.cross = CrossNetwork(clip.config.projection_dim, sizes)

    def in_precision(self, dtype: torch.dtype) -> MpsNetwork:
        """This network, loaded, with weights of that precision."""
        self.scale = float(self.clip.logit_scale.exp())
        self.clip.to(dtype)
        self.cross.in_precision(dtype)
        return self

    def picture_tokens(self, pixels: Pixels) -> Float[Tensor, "batch tokens width"]:
        """Before the tower's last normalisation, as in the original."""
        states = self.clip.vision_model(pixel_values=pixels).last_hidden_state
        projected: Tensor = self.clip.visual_projection(states)
        return projected

    def text_tokens(self, ids: Tensor) -> Float[Tensor, "batch tokens width"]:
        projected: Tensor = self.clip.text_projection(self.clip.text_model(input_ids=ids).last_hidden_state)
        return projected


class Mps(NetworkRater):
    """Judges pictures by the preference score under a condition."""

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = arguments(file, MpsArguments)
        super().__init__(file, settings, preparations=[declared_preparation(args.preprocess, where=file.where)])
        base = weights_folder(file, "base", *_BASE, offline=settings.offline)
        condition = load_text(file, args.condition, offline=settings.offline)
        self._tokenizer = _tokenizer(base, file.where)
        key = ("mps", weights_key(file), args.cross.model_dump_json(), args.dtype, str(self.device))
        self._network = loaded_once(key, lambda: load_network(file, args, base, self.device, offline=settings.offline))
        args.check_side(file, int(self._network.clip.config.vision_config.image_size))
        self._threshold = args.threshold
        self._normalise = Normalise(args.mean, args.std)
        self._prompts: Memo[Prompt] = Memo(REMEMBERED_PROMPTS)
        with full_precision():
            self._condition = self._embed([condition])[0][0]

    def close(self) -> None:
        self._prompts.clear()

    def forward(self, inputs: Inputs) -> Scores:
        prompts = self._prompts.many(inputs.prompts, lambda new: self._know([inputs.prompts[position] for position in new]))
        dtype = self._network.clip.logit_scale.dtype
        picture = self._network.picture_tokens(self._normalise(inputs.pixels["response"]).to(dtype))
        tokens = torch.stack([prompt.tokens for prompt in prompts])
        seen = self._network.cross(picture, tokens.to(dtype), torch.stack([prompt.read for prompt in prompts]))[:, 0]
        cosine = (unit(seen) * torch.stack([prompt.end for prompt in prompts])).sum(dim=-1)
        return Scores(
            values=self._network.scale * cosine[:, None], notes=notes_on("the prompt", [prompt.said for prompt in prompts])
        )

    @torch.no_grad()
    def _know(self, prompts: Sequence[str]) -> list[Prompt]:
        tokens, ids, said = self._embed(prompts)
        best = (tokens @ self._condition.T).amax(dim=-1)
        read = best / best.amax(dim=-1, keepdim=True) > self._threshold
        # The end token has the largest id; padding repeats it, and the first one counts.
        ends = unit(tokens[torch.arange(len(ids)), ids.argmax(dim=-1)])
        return [Prompt(tokens=tokens[number], read=read[number], end=ends[number], said=one) for number, one in enumerate(said)]

    @torch.no_grad()
    def _embed(self, texts: Sequence[str]) -> tuple[Float[Tensor, "batch tokens width"], Tensor, list[str]]:
        """Tokens in the shared space in float32, their ids, and what is to be said of each text."""
        # The tokenizer's own limit is 10^30 where its folder does not say one.
        room = int(self._network.clip.config.text_config.max_position_embeddings)
        fitted = self._tokenizer(list(texts), padding="max_length", truncation=True, max_length=room, return_tensors="pt")
        ids = sent(fitted["input_ids"], self.device)
        whole = self._tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        control = {
            self._tokenizer.bos_token_id: self._tokenizer.bos_token,
            self._tokenizer.eos_token_id: self._tokenizer.eos_token,
        }
        said = [said_of(one, context=room, marks=2, control=control) for one in whole]
        return self._network.text_tokens(ids).float(), ids, said


def load_network(file: CardFile, args: MpsArguments, base: Path, device: torch.device, *, offline: bool) -> MpsNetwork:
    """The network under `weights.model`, its CLIP as `base` describes; every weight of one has to be in the other."""
    transformers = import_transformers()
    config = transformers.CLIPConfig.from_pretrained(str(base), local_files_only=True)
    network = MpsNetwork(transformers.CLIPModel(config), args.cross)
    state = load_state(file, "model", offline=offline)
    named = {_name(name): weight.float() for name, weight in state.items() if not _SPARE.search(name)}
    weights = file.card.weights["model"]
    fit(network, named, where=file.where, place=weights.file or weights.path or "")
    return network.to(device).in_precision(DTYPES[args.dtype])


def _name(original: str) -> str:
    """Ours for a name of the checkpoint, `model.…` or `cross_model.…`, in the mirror with `mps.` before it."""
    name = original.removeprefix("mps.")
    if name.startswith("cross_model."):
        return f"cross.{cross_name(name.removeprefix('cross_model.'))}"
    return f"clip.{name.removeprefix('model.')}" if name.startswith("model.") else original


def _tokenizer(base: Path, where: str) -> Any:
    tokenizer = import_transformers().CLIPTokenizer.from_pretrained(str(base), local_files_only=True)
    if tokenizer.eos_token_id != len(tokenizer) - 1:
        raise WeightsError(f"{where}: the end token of the tokenizer in {base} is not its last one, where the text is read")
    return tokenizer
