"""CLIP-FlanT5: a Flan-T5 that sees. The network of VQAScore (Lin et al., 2024), on stock transformers classes.

A picture is the patch tokens of the last layer but one of CLIP ViT-L/14-336, brought to T5's width by two linear layers with a
GELU between. They stand among the embeddings of the encoder's text. Names of weights are those of the original class
(linzhiqiu/t2v_metrics, `CLIPT5ForConditionalGeneration`), which is a T5 with `mm_projector` beside it.

Facts that this port keeps to:

- the checkpoint's config says `tie_word_embeddings: false`: outputs of the decoder are not scaled, and the language head is a
  weight of its own, which transformers 5 would tie to the embeddings if it were missing from the file; here it must be there;
- `embed_tokens.weight` in a checkpoint is another name of `shared.weight`;
- the checkpoint carries the vision tower too (`vision_tower.vision_tower.…`), but its config only names it: how the tower is
  built is read from the config of that CLIP.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from curate.cards import CardFile
from curate.scorers.libraries import import_transformers
from curate.scorers.pretrained import MODEL_FILES, load_pretrained
from curate.weights import weights_folder

_transformers = import_transformers()
_T5Config: Any = _transformers.T5Config
_T5: Any = _transformers.T5ForConditionalGeneration


class ClipT5Config(_T5Config):  # type: ignore[misc]
    """T5's, and `mm_hidden_size`, the width of the vision tower."""

    model_type = "clip_t5"


class SeeingT5(_T5):  # type: ignore[misc]
    """A T5, the vision tower, and the projector between them."""

    config_class = ClipT5Config
    # Without the language head, which T5 in transformers 5 counts among the embeddings.
    _tied_weights_keys: ClassVar[dict[str, str]] = {
        "encoder.embed_tokens.weight": "shared.weight",
        "decoder.embed_tokens.weight": "shared.weight",
    }
    _keys_to_ignore_on_load_unexpected: ClassVar[list[str]] = [r"^embed_tokens\.weight$"]

    def __init__(self, config: Any, vision_config: Any) -> None:
        super().__init__(config)
        self.vision_tower = nn.ModuleDict({"vision_tower": _transformers.CLIPVisionModel(vision_config)})
        width = config.d_model
        self.mm_projector = nn.Sequential(nn.Linear(config.mm_hidden_size, width), nn.GELU(), nn.Linear(width, width))
        self.post_init()


class ClipT5:
    """The network: sees pictures, and says how probable an answer is."""

    def __init__(self, t5: Any) -> None:
        """`t5` is a `SeeingT5`."""
        self._t5 = t5
        self._vision = t5.vision_tower["vision_tower"]
        self.image_side = int(self._vision.config.image_size)
        self.vocabulary = int(t5.config.vocab_size)

    def see(self, pixels: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch patches width"]:
        """Normalised pixels as embeddings for the encoder."""
        states = self._vision(pixels.to(self._t5.dtype), output_hidden_states=True).hidden_states
        projected: Tensor = self._t5.mm_projector(states[-2][:, 1:])
        return projected

    def embed(self, ids: Int[Tensor, "*batch tokens"]) -> Float[Tensor, "*batch tokens width"]:
        """Embeddings of words."""
        embedded: Tensor = self._t5.shared(ids)
        return embedded

    def answer(
        self,
        embeddings: Float[Tensor, "batch tokens width"],
        mask: Int[Tensor, "batch tokens"],
        answer: Int[Tensor, " answer"],
        *,
        vocabulary: int,
    ) -> Float[Tensor, "batch answer"]:
        """Log-probability of each token of an answer given those before it, over the first `vocabulary` tokens; float32."""
        start = answer.new_tensor([self._t5.config.decoder_start_token_id])
        said = torch.cat([start, answer[:-1]]).expand(len(embeddings), -1)
        output = self._t5(inputs_embeds=embeddings, attention_mask=mask, decoder_input_ids=said, use_cache=False)
        logs: Tensor = output.logits[..., :vocabulary].float().log_softmax(dim=-1)
        return logs.gather(-1, answer.expand(len(embeddings), -1)[..., None]).squeeze(-1)


def load_clip_t5(file: CardFile, *, dtype: torch.dtype, device: torch.device, offline: bool) -> ClipT5:
    """The network under `weights.model`; `weights.vision` is the CLIP whose config says how the vision tower is built."""
    folder = weights_folder(file, "model", *MODEL_FILES, offline=offline)
    clip = weights_folder(file, "vision", ("config.json",), offline=offline)
    vision = _transformers.CLIPVisionConfig.from_pretrained(str(clip), local_files_only=True)
    t5 = load_pretrained(SeeingT5, folder, where=file.where, model_type="clip_t5", dtype=dtype, vision_config=vision)
    return ClipT5(t5.to(device))
