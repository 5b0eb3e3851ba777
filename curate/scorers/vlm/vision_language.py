"""Vision-language models of transformers, loaded and called: what token probabilities and judges with rubrics share.

Any image-text-to-text model will do that transformers itself has the code of, through its own processor.

Texts of a batch are padded on the left, so that the token to read, or to go on from, is behind the last of each.
"""

from __future__ import annotations

import hashlib
import inspect
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from curate.cards import CardFile
from curate.errors import WeightsError
from curate.scorers.devices import DTYPES, Precision
from curate.scorers.libraries import import_transformers
from curate.scorers.pretrained import load_pretrained
from curate.scorers.sharing import loaded_once, weights_key
from curate.scorers.vlm.loading import by_its_file
from curate.weights import first_line, weights_folder

if TYPE_CHECKING:
    from PIL import Image

Resizes = Literal["pil", "torchvision"]
"""Pillow as the original processors did, or torchvision as servers do now; their bicubic pixels differ a little."""

_FILES = (("*.json", "*.jinja", "model*.safetensors"), ("*.json", "model*.safetensors"))

_LOCAL = {"local_files_only": True, "trust_remote_code": False}

_READ_BYTES = 1 << 20


class VisionLanguage:
    """A loaded model, its processor, and what both are called with. Safe for several threads."""

    def __init__(self, model: Any, processor: Any, folder: Path) -> None:
        self.model = model
        self.processor = processor
        self.folder = folder
        self.ends = _ends(model, processor.tokenizer)
        # What a checkpoint's settings add (penalties, a temperature, cuts of the distribution) is no part of a question.
        model.generation_config = import_transformers().GenerationConfig(
            do_sample=False, eos_token_id=list(self.ends) or None, pad_token_id=processor.tokenizer.pad_token_id
        )
        # Only the last place is read; the logits of all the others would take more memory than the network.
        self._last = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
        # Some models keep positions of the last call on themselves, and raters that share one may live in several threads.
        self._alone = threading.Lock()
        # Tokenizers keep on themselves whether they pad: one thread would take back what another has just told them.
        self._tokenising = threading.Lock()

    @property
    def context(self) -> int | None:
        """How many tokens it takes; None where its config does not say."""
        most = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return None if most is None else int(most)

    def tokenise(self, text: str) -> list[int]:
        """Ids of a text with its control tokens."""
        with self._tokenising:
            return list(self.processor.tokenizer(text, add_special_tokens=self.adds_beginning(text))["input_ids"])

    def padded(self, texts: Sequence[str]) -> dict[str, Int[Tensor, "batch tokens"]]:
        """`input_ids` and `attention_mask` of texts whose control tokens all stand in them."""
        with self._tokenising:
            tokens = self.processor.tokenizer(
                list(texts), padding=True, add_special_tokens=False, return_tensors="pt", verbose=False
            )
        return {name: tokens[name] for name in ("input_ids", "attention_mask")}

    def adds_beginning(self, text: str) -> bool:
        """Whether the tokenizer is to add its mark of a beginning, which some chat templates already wrote."""
        beginning = self.processor.tokenizer.bos_token
        return beginning is None or not text.startswith(beginning)

    def encode(self, texts: Sequence[str], pictures: Sequence[Sequence[Image.Image]]) -> dict[str, Tensor]:
        """What the model is called with: chats of one template, and the pictures of each, as many for each of them."""
        with self._tokenising:
            return dict(
                self.processor(
                    text=list(texts),
                    images=[list(row) for row in pictures] if any(pictures) else None,
                    padding=True,
                    add_special_tokens=self.adds_beginning(texts[0]),
                    return_tensors="pt",
                )
            )

    def next_logits(self, encoded: Mapping[str, Tensor]) -> Float[Tensor, "batch vocabulary"]:
        """Logits of the token behind the last, in float32."""
        with self._alone:
            logits: Tensor = self.model(**self._moved(encoded), **self._last, use_cache=False).logits
        return logits[:, -1].float()

    def continuations(
        self, encoded: Mapping[str, Tensor], *, max_tokens: int, processors: Sequence[Any] = ()
    ) -> Int[Tensor, "batch tokens"]:
        """Ids of the most probable tokens one after another, up to `max_tokens`; padded on the right behind an end.

        `processors` see and change the logits of each token before the largest is taken, as those of transformers do.
        """
        with self._alone:
            ids: Tensor = self.model.generate(
                **self._moved(encoded), max_new_tokens=max_tokens, logits_processor=[*processors] or None
            )
        return ids[:, encoded["input_ids"].shape[1] :].cpu()

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names and contents of the files it was loaded from, hex; reads all of them."""
        digest = hashlib.sha256()
        for path in sorted({path for pattern in _FILES[0] for path in self.folder.glob(pattern)}):
            digest.update(f"{path.name}\n{path.stat().st_size}\n".encode())
            with path.open("rb") as stream:
                while block := stream.read(_READ_BYTES):
                    digest.update(block)
        return digest.hexdigest()

    def _moved(self, encoded: Mapping[str, Tensor]) -> dict[str, Tensor]:
        device, dtype = self.model.device, self.model.dtype
        return {name: one.to(device, dtype if one.is_floating_point() else None) for name, one in encoded.items()}


def load_vision_language(
    file: CardFile,
    *,
    device: torch.device,
    offline: bool,
    resizes: Resizes,
    model_type: str | None = None,
    dtype: Precision | None = None,
) -> VisionLanguage:
    """The model under `weights.model` with its processor, the same one for all raters that want the same.

    `resizes` says by which library the processor resizes pictures; `model_type` is what the config of the weights has to say,
    None takes any; `dtype` is None for the precision that the checkpoint was saved in. Raises `WeightsError` where the model
    is not the one of the card or cannot be loaded.
    """
    folder = weights_folder(file, "model", *_FILES, offline=offline)
    config = _config(folder, file.where)
    precision = DTYPES[dtype] if dtype else _saved_precision(config)
    kind = model_type or str(config.model_type)
    key = ("vision-language", weights_key(file), kind, precision, resizes, str(device))

    def load() -> VisionLanguage:
        auto = import_transformers().AutoModelForImageTextToText
        model = load_pretrained(auto, folder, where=file.where, model_type=kind, dtype=precision)
        return VisionLanguage(model.to(device), _processor(folder, resizes, file.where), folder)

    return loaded_once(key, load)


def _processor(folder: Path, resizes: Resizes, where: str) -> Any:
    transformers = import_transformers()
    try:
        processor = transformers.AutoProcessor.from_pretrained(str(folder), **_LOCAL)
        # Asked of the whole processor, Pillow is refused where a part of it (for videos) has no such form.
        processor.image_processor = transformers.AutoImageProcessor.from_pretrained(str(folder), backend=resizes, **_LOCAL)
    except Exception as problem:  # files of others, as in `_config`
        raise WeightsError(f"{where}: cannot load the processor in {folder}: {first_line(problem)}") from problem
    by_its_file(processor.tokenizer, folder)
    processor.tokenizer.padding_side = "left"
    if processor.tokenizer.pad_token is None:
        processor.tokenizer.pad_token = processor.tokenizer.eos_token
    return processor


def _config(folder: Path, where: str) -> Any:
    try:
        return import_transformers().AutoConfig.from_pretrained(str(folder), **_LOCAL)
    except Exception as problem:  # configs of others: a library may raise anything at all on them
        raise WeightsError(f"{where}: cannot read {folder / 'config.json'}: {first_line(problem)}") from problem


def _saved_precision(config: Any) -> torch.dtype:
    saved = config.dtype or config.get_text_config().dtype
    return saved if isinstance(saved, torch.dtype) else torch.float32


def _ends(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """Ids of the tokens that end an answer: what the checkpoint says, and the tokenizer's own."""
    said = model.generation_config.eos_token_id
    ends = [*(said if isinstance(said, list) else [said]), tokenizer.eos_token_id]
    return tuple(dict.fromkeys(int(one) for one in ends if one is not None))
