"""IXC-2.5-Reward: InternLM-XComposer2.5 that reads a chat about a picture, and a linear head on the state of its last token.

Paper: Zang et al., InternLM-XComposer2.5-Reward: A Simple Yet Effective Multi-Modal Reward Model, 2025. Original: the code in
the repository of its weights (`modeling_internlm_xcomposer2.py`, `build_mlp.py`, `ixc_utils.py`), which transformers would run
as remote code and which is for versions long gone; this is a port without it, so nothing has to be trusted.

The paper says that the head is on the mean of all states. The published code reads the last token, which is a reward token of
its own, and so does this.

A turn is stripped, as in training, and the line break behind the last one is no token. transformers 4.33.2, which the original
pins, drops white space beside a special token, such as the `</s>` that follows, unless `special_tokens_map.json` describes that
token by more than its text; then the break is one, here as well. Found by running that version.

What is rewarded is an answer. For pictures made from prompts the user asks the card's `question` and the assistant answers
with the prompt, so the number says how good the prompt is as an answer about the picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from curate.cards import CardFile
from curate.control_tokens import defused
from curate.rater_settings import Settings
from curate.raters import Preparation
from curate.records import Status
from curate.scorers.arguments import Arguments, arguments
from curate.scorers.devices import DTYPES, Precision
from curate.scorers.network import NetworkRater
from curate.scorers.passes import Inputs, Scores
from curate.scorers.pretrained import read_config
from curate.scorers.sharing import loaded_once, weights_key
from curate.scorers.vlm.beside import ask_for, read_settings
from curate.scorers.vlm.heads import fitted_head, taken
from curate.scorers.vlm.images import is_unfit
from curate.scorers.vlm.internlm import PartialLlama, load_partial_llama
from curate.scorers.vlm.loading import sharded_state
from curate.scorers.vlm.templates import NEUTRALISED
from curate.scorers.vlm.tiles import TiledEye, Tiles, VisionArguments, load_tiled_eye
from curate.scorers.vlm.tokens import all_failed, too_long
from curate.weights import weights_folder

BEGIN, END, REWARD = "[UNUSED_TOKEN_146]", "[UNUSED_TOKEN_145]", "[UNUSED_TOKEN_130]"
"""What opens a turn, closes it, and is read for the reward."""

UNFIT = (Status.NOT_APPLICABLE, "the picture is so long and thin that no row of pixels is left of it at the network's size")

_FILES = ("config.json", "model*.safetensors", "tokenizer.model")

_OF_TOKENS = ("special_tokens_map.json", "tokenizer_config.json")
"""What says how the end token is treated; the first that tells of it counts."""


class IxcArguments(Arguments):
    """The `args` of a card for `IxcReward`."""

    question: str
    """What the user asks about the picture; a short line."""
    tiles: int = Field(default=9, ge=1, le=64)
    """At most so many tiles of the vision tower's side; `hd_num` in the original."""
    plora_alpha: float = Field(default=256, gt=0)
    """Strength of the adapters, over their rank."""
    vision: VisionArguments = VisionArguments()
    dtype: Precision = "float32"
    """Of the network; the head is float32 always."""


class IxcReward(NetworkRater):
    """Judges pictures by the reward of their prompts as answers about them."""

    batch_size = 2
    pads_prompts = True

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = arguments(file, IxcArguments)
        make = Tiles(most=args.tiles, side=args.vision.image_size)
        super().__init__(file, settings, preparations=[Preparation(name=make.name, make=make)])
        self._question = args.question
        key = ("ixc", weights_key(file), args.plora_alpha, args.vision, args.dtype, str(self.device))
        self._network = loaded_once(key, lambda: _load(file, args, self.device, offline=settings.offline))

    def forward(self, inputs: Inputs) -> Scores:
        pictures, network = inputs.pixels["response"], self._network
        if is_unfit(pictures):
            return all_failed(inputs, 1, UNFIT)
        plain = [defused(prompt, network.control) for prompt in inputs.prompts]
        notes = {row: NEUTRALISED for row, prompt in enumerate(inputs.prompts) if plain[row] != prompt}
        seen = network.eye.see(pictures)
        chats = [network.chat(self._question, answer) for answer in plain]
        failures = too_long([seen.shape[1] + len(chat) for chat in chats], network.context)
        rows = [row for row in range(len(chats)) if row not in failures]
        values = torch.zeros(len(chats), 1, device=pictures.device)
        if rows:
            found = network.read([chats[row] for row in rows], seen[rows])
            values = values.index_copy(0, torch.tensor(rows, device=pictures.device), found)
        return Scores(values=values, notes=notes, failures=failures)


class IxcNetwork:
    """The decoder with its eye, its head and its tokenizer (a SentencePiece model, read without code of the repository)."""

    def __init__(
        self, decoder: PartialLlama, eye: TiledEye, head: nn.Module, pieces: Any, *, context: int, last_break: bool
    ) -> None:
        self.eye = eye
        self.context = context
        self._last_break = last_break
        self._decoder, self._head, self._pieces = decoder, head, pieces
        names = [pieces.id_to_piece(number) for number in range(pieces.get_piece_size())]
        self.control = (*(name for name in names if name.startswith("[UNUSED_TOKEN_")), "<s>", "</s>", "<unk>")

    def chat(self, question: str, answer: str) -> list[int]:
        """Ids of a whole chat about a picture, which comes after the first of them."""
        turns = "".join(f"{BEGIN}{role}\n{text.strip()}{END}\n" for role, text in (("user", question), ("assistant", answer)))
        if not self._last_break:
            turns = turns.rstrip()
        return [self._pieces.bos_id(), *self._pieces.encode(turns), self._pieces.eos_id(), *self._pieces.encode(REWARD)]

    def read(self, chats: Sequence[Sequence[int]], seen: Float[Tensor, "batch tokens hidden"]) -> Float[Tensor, "batch 1"]:
        """The outputs of the head at the last token of each chat; padding on the right."""
        device, longest, looked = seen.device, max(map(len, chats)), seen.shape[1]
        ids = torch.zeros(len(chats), longest, dtype=torch.long, device=device)
        mask = torch.zeros(len(chats), looked + longest, dtype=torch.bool, device=device)
        for row, chat in enumerate(chats):
            ids[row, : len(chat)] = torch.tensor(chat, device=device)
            mask[row, : looked + len(chat)] = True
        words = self._decoder.embed(ids)
        embedded = torch.cat([words[:, :1], seen.to(words.dtype), words[:, 1:]], dim=1)
        visual = torch.zeros_like(mask)
        visual[:, 1 : looked + 1] = True
        states = self._decoder.read(embedded, visual, mask)
        last = states[torch.arange(len(chats), device=device), mask.sum(dim=1) - 1]
        return self._head(last.float())  # type: ignore[no-any-return]


def _load(file: CardFile, args: IxcArguments, device: torch.device, *, offline: bool) -> IxcNetwork:
    ask_for(file, "model", (*_FILES, *_OF_TOKENS), offline=offline)
    folder = weights_folder(file, "model", _FILES, offline=offline)
    config = read_config(folder, "internlmxcomposer2", where=file.where)
    state = sharded_state(folder, where=file.where)
    dtype = DTYPES[args.dtype]
    head = fitted_head(
        nn.Linear(config["hidden_size"], 1, bias=False),
        taken(state, "score"),
        where=file.where,
        place="weights.model, score",
        device=device,
    )
    language = taken(state, "model")
    decoder = load_partial_llama(config, language, alpha=args.plora_alpha, dtype=dtype, device=device, where=file.where)
    eye = load_tiled_eye(args.vision, state, hidden=config["hidden_size"], dtype=dtype, device=device, where=file.where)
    pieces, last_break = _pieces(folder / "tokenizer.model"), _is_end_described(folder, where=file.where)
    return IxcNetwork(decoder, eye, head, pieces, context=int(config["max_position_embeddings"]), last_break=last_break)


def _is_end_described(folder: Path, *, where: str) -> bool:
    """Whether the end token is given by what it does to its neighbours, and leaves the one before it alone."""
    files = (folder / name for name in _OF_TOKENS)
    told = (read_settings(path, where=where).get("eos_token") for path in files if path.is_file())
    end = next((one for one in told if one is not None), None)
    return isinstance(end, Mapping) and not end.get("lstrip", False)


def _pieces(path: Path) -> Any:
    from sentencepiece import SentencePieceProcessor

    return SentencePieceProcessor(model_file=str(path))
