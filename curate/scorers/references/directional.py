"""Whether an edit changed a picture in the direction in which its caption changed: CLIP directional similarity.

    cos(E(edited) - E(source), T(target caption) - T(source caption)),   each embedding of unit length before the difference

Gal et al., StyleGAN-NADA, SIGGRAPH 2022 (the direction, between two fixed texts); Brooks et al., InstructPix2Pix, CVPR 2023 (with
captions of each edit). An instruction is no caption, so the prompt of an edit is not used. Captions come from

- the conditions `source_caption` and `target_caption` of a sample, which the layout `edit` finds;
- the card, where it fixes both for all samples (`args.source_caption: a photo`, `args.target_caption: a sketch`);
- `Captions` in place of prompts, for `score` and `score_tensor`.

Where the picture or the caption did not change there is no direction, and so no value.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import model_validator
from torch import Tensor

from curate.cards import CardFile
from curate.errors import CardError
from curate.rater_settings import Settings
from curate.records import Sample, Status
from curate.scorers.arguments import arguments
from curate.scorers.network import NetworkRater
from curate.scorers.passes import Inputs, Scores
from curate.scorers.pixels import Normalise, declared_preparation
from curate.scorers.reading import notes_on
from curate.scorers.towers.clip import TowerArguments, load_towers
from curate.scorers.towers.wording import worder

_NO_CHANGE = 1e-6


class Captions(str):
    """What two pictures show, before and after, as one text: for doors that carry one text for each picture."""

    __slots__ = ("after", "before")

    before: str
    after: str

    def __new__(cls, before: str, after: str) -> Captions:
        both = super().__new__(cls, f"{before} -> {after}")
        both.before, both.after = before, after
        return both


_NO_CAPTIONS = Captions("", "")


class DirectionalArguments(TowerArguments):
    """The `args` of a card for `Directional`."""

    source_caption: str | None = None
    target_caption: str | None = None

    @model_validator(mode="after")
    def _both_or_none(self) -> DirectionalArguments:
        if (self.source_caption is None) != (self.target_caption is None):
            raise ValueError("source_caption and target_caption come together: one alone is no direction")
        return self

    @property
    def captions(self) -> Captions | None:
        """The captions that hold for all samples; None where each has its own."""
        if self.source_caption is None or self.target_caption is None:
            return None
        return Captions(self.source_caption, self.target_caption)


class Directional(NetworkRater):
    """Judges edits by the angle between the change of the picture and the change of its caption."""

    def __init__(self, file: CardFile, settings: Settings) -> None:
        args = arguments(file, DirectionalArguments)
        if file.card.takes.conditions[:1] != ("source",):
            raise CardError(f"{file.where}, field 'takes.conditions': this engine compares with the source, so [source] it is")
        prepare = [declared_preparation(args.preprocess, where=file.where, role=role) for role in ("response", "source")]
        super().__init__(file, settings, preparations=prepare)
        self._towers = load_towers(file, args, self.device, offline=settings.offline)
        self._normalise = Normalise(args.mean, args.std)
        self._word = worder(args.wording)
        self._captions = args.captions

    def close(self) -> None:
        self._towers.forget()

    def forward(self, inputs: Inputs) -> Scores:
        edited, source = (
            self._towers.images(self._normalise(inputs.pixels[role]), inputs.keys_of(role)) for role in ("response", "source")
        )
        captions = [self._captions_of(inputs, number) for number in range(len(edited))]
        before, after, notes = self._texts([one or _NO_CAPTIONS for one in captions])
        change, wanted = edited - source, after - before
        failures = {
            number: (Status.NOT_APPLICABLE, f"the {name} did not change, so there is no direction")
            for name, moved in (("caption", wanted), ("picture", change))
            for number, length in enumerate(moved.detach().norm(dim=-1).tolist())
            if length < _NO_CHANGE
        }
        why = "there are no captions: conditions source_caption and target_caption, or Captions in place of prompts"
        failures |= {number: (Status.MISSING_CONDITION, why) for number, one in enumerate(captions) if one is None}
        values = torch.nn.functional.cosine_similarity(change, wanted, dim=-1)[:, None]
        return Scores(values=values, notes=notes, failures=failures)

    def _captions_of(self, inputs: Inputs, number: int) -> Captions | None:
        """The captions of one picture: the card's, those given in place of its prompt, or those its sample carries."""
        given = inputs.prompts[number] if inputs.prompts else None
        if self._captions is not None:
            return self._captions
        if isinstance(given, Captions):
            return given
        return _carried(inputs.samples[number]) if inputs.samples else None

    def _texts(self, captions: Sequence[Captions]) -> tuple[Tensor, Tensor, dict[int, str]]:
        """Embeddings of the captions before and after, and notes on those that were cut or hold control tokens."""
        before, said_before = self._towers.texts([self._word(one.before) for one in captions])
        after, said_after = self._towers.texts([self._word(one.after) for one in captions])
        either = (dict.fromkeys(filter(None, both)) for both in zip(said_before, said_after, strict=True))
        return before, after, notes_on("a caption", [" and ".join(said) for said in either])


def _carried(sample: Sample) -> Captions | None:
    found = [sample.conditions.get(role) for role in ("source_caption", "target_caption")]
    before, after = (one.text if one is not None else None for one in found)
    return Captions(before, after) if before and after else None
