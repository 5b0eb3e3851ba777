"""Objects found by their names: GroundingDINO, and whether everything that a picture should show is there.

    confidence(box, object)   sigmoid of the logits between the box and each token of the object's name
    presence(object, n)       the n-th largest over all boxes of max over tokens: how sure it is that n of them are there

Paper: Liu et al., Grounding DINO, Marrying DINO with Grounded Pre-Training for Open-Set Object Detection, 2023. The network is
that of transformers. All objects of a picture are looked for at once, in one caption, "dog. red ball.", and each finds the tokens
of its own name, so no threshold decides which words a box is about. Captions of a batch are padded to one length, which moves no
number.

GroundingDINO knows the marks that part phrases by their numbers in BERT's vocabulary, so no other tokenizer will do.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, field_validator
from torch import Tensor

from curate.cards import CardFile
from curate.errors import CardError, CurateError, WeightsError
from curate.rater_settings import Settings
from curate.raters import Preparation
from curate.records import Status
from curate.scorers.arguments import Arguments, arguments
from curate.scorers.detectors.wanted import Refusal, read_objects, wanted_objects
from curate.scorers.libraries import import_transformers
from curate.scorers.network import NetworkRater
from curate.scorers.passes import Inputs, Pixels, Scores
from curate.scorers.pixels import Normalise, declared_preparation
from curate.scorers.pretrained import MODEL_FILES, load_pretrained
from curate.scorers.references.encoders import IMAGENET_MEAN, IMAGENET_STD
from curate.scorers.sharing import loaded_once, weights_key
from curate.scorers.transfers import rows_of
from curate.shards.resize import resize
from curate.weights import weights_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

Confidences = Float[Tensor, "boxes tokens"]
"""Of every box in every token of one object's name; in [0, 1]."""

MARKS = {"[CLS]": 101, "[SEP]": 102, ".": 1012, "?": 1029}
"""What parts phrases, as GroundingDINO has them built in."""

_END_OF_PHRASE = MARKS["."]


@dataclass(frozen=True, slots=True)
class Question:
    """The wanted objects of one picture as the network reads them."""

    ids: tuple[int, ...]
    """Tokens of a caption that names them all."""
    spans: tuple[range, ...]
    """For each object, the positions of its tokens."""
    counts: tuple[int, ...]
    """How many of each are wanted."""


class Detector:
    """GroundingDINO and its tokenizer, in evaluation mode, on one device."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._context = int(model.config.max_text_len)
        self.boxes = int(model.config.num_queries)

    def ask(self, wanted: Mapping[str, int]) -> Question | Refusal:
        """The question after these objects, or why there is none."""
        names = list(wanted)
        ids = self._tokenizer(". ".join(names) + ".", verbose=False)["input_ids"]
        if len(ids) > self._context:
            return Refusal(Status.TRUNCATED, f"the wanted objects make {len(ids)} tokens, and the detector reads {self._context}")
        if self._tokenizer.unk_token_id in ids:
            return Refusal(Status.NOT_APPLICABLE, f"the detector has no word for something in: {', '.join(names)[:200]}")
        ends = [position for position, token in enumerate(ids) if token == _END_OF_PHRASE]
        spans = tuple(range(begin + 1, end) for begin, end in zip([0, *ends], ends, strict=False))
        if len(spans) != len(names) or not all(spans):
            return Refusal(Status.NOT_APPLICABLE, f"the detector cannot read the names: {', '.join(names)[:200]}")
        return Question(tuple(ids), spans, tuple(wanted.values()))

    def find(self, pixels: Float[Tensor, "batch 3 height width"], questions: Sequence[Question]) -> list[list[Confidences]]:
        """For each picture, and each object asked for, how sure the boxes are; pixels are normalised."""
        longest = max(len(question.ids) for question in questions)
        ids = torch.zeros(len(questions), longest, dtype=torch.long, device=pixels.device)
        there = torch.zeros_like(ids)
        for row, question in enumerate(questions):
            ids[row, : len(question.ids)] = torch.tensor(question.ids, device=pixels.device)
            there[row, : len(question.ids)] = 1
        logits = self._model(
            pixel_values=pixels, input_ids=ids, attention_mask=there, token_type_ids=torch.zeros_like(ids)
        ).logits
        confidences = logits.float().sigmoid()
        return [
            [confidences[row][:, span.start : span.stop] for span in question.spans] for row, question in enumerate(questions)
        ]


def load_detector(file: CardFile, *, device: torch.device, offline: bool) -> Detector:
    """The detector under `weights.model`, shared by all raters of the process that name the same one.

    Raises `WeightsError` where there is none, or where its tokenizer is not BERT's.
    """

    def load() -> Detector:
        transformers = import_transformers()
        folder = weights_folder(file, "model", *[(*one, "tokenizer*.json") for one in MODEL_FILES], offline=offline)
        tokenizer = transformers.BertTokenizer.from_pretrained(str(folder), local_files_only=True)
        if tokenizer.convert_tokens_to_ids(list(MARKS)) != list(MARKS.values()):
            raise WeightsError(
                f"{file.where}: the tokenizer in {folder} is not the one of BERT that GroundingDINO was trained with"
            )
        network = transformers.GroundingDinoForObjectDetection
        model = load_pretrained(network, folder, where=file.where, model_type="grounding-dino")
        return Detector(model.to(device), tokenizer)

    return loaded_once(("grounding", weights_key(file), str(device)), load)


@dataclass(frozen=True, slots=True, kw_only=True)
class WithinEdges:
    """Brings the shorter side to `shortest` by Pillow's bilinear filter, or less, so that the longer stays within `longest`.

    The geometry of DETR and its heirs; results have the shape of the picture. Sizes are rounded as transformers does.
    """

    shortest: int
    longest: int

    @property
    def name(self) -> str:
        return f"pillow:edges-{self.shortest}-{self.longest}-bilinear"

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width after resizing; at least 1, however thin the picture is."""
        short, long = sorted((height, width))
        exact = min(float(self.shortest), self.longest * short / long)
        # Only a side that `longest` made shorter is rounded, and the other follows from what it was before.
        side = self.shortest if exact == self.shortest else round(exact)
        if short == side:
            return height, width
        other = max(1, int(exact * long / short))
        side = max(1, side)
        return (side, other) if height <= width else (other, side)

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return resize(pixels, *self.resized(*pixels.shape[:2]), "bilinear")

    def on_tensor(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 tall wide"]:
        size = self.resized(*pixels.shape[-2:])
        return torch.nn.functional.interpolate(pixels, size, mode="bilinear", antialias=True)


class GroundingArguments(Arguments):
    """The `args` of a card for `Presence`, and what those for other raters begin with."""

    preprocess: Mapping[str, Any] = Field(default_factory=lambda: {"shortest": 800, "longest": 1333})
    """Either `shortest` and `longest`, or the fields of `curate.shards.resize.Geometry` and `backend`."""
    objects: Mapping[str, int] | None = None
    """What every picture should show whose record does not say it: numbers by name."""

    @field_validator("objects")
    @classmethod
    def _can_be_read(cls, value: Mapping[str, int] | None) -> Mapping[str, int] | None:
        if value is not None and isinstance(found := read_objects(value), Refusal):
            raise ValueError(found.detail)
        return value


class GroundingRater(NetworkRater):
    """Base of raters that look for named objects. A sample says in its record's `objects` which, or the card does."""

    batch_size = 8
    gives: ClassVar[tuple[str, ...]]
    """The dimensions that a card may have."""

    def __init__(self, file: CardFile, settings: Settings, args: GroundingArguments) -> None:
        check_dimensions(file, self.gives)
        super().__init__(file, settings, preparations=[_preparation(args.preprocess, file.where)])
        self._detector = load_detector(file, device=self.device, offline=settings.offline)
        self._normalise = Normalise(IMAGENET_MEAN, IMAGENET_STD)
        self._objects = args.objects

    @abstractmethod
    def judge_objects(self, found: Sequence[Confidences], counts: Sequence[int]) -> Mapping[str, Float[Tensor, ""]]:
        """The scores of one picture by dimension, given each wanted object's confidences and number."""

    def forward(self, inputs: Inputs) -> Scores:
        batch = len(inputs.pixels["response"])
        metas: list[Mapping[str, Any]] = [sample.meta for sample in inputs.samples] or [{}] * batch
        return self._score([wanted_objects(meta, self._objects) for meta in metas], inputs.pixels["response"])

    def score_objects(
        self, pixels: Pixels, objects: Sequence[Mapping[str, int]], *, dimension: str | None = None
    ) -> Float[Tensor, " batch"]:
        """`score_tensor` with the wanted objects of each picture; gradients reach `pixels`. Raises `CurateError` likewise."""
        given = {"response": pixels}
        self.check_pixels(given)
        if len(objects) != len(pixels):
            raise CurateError(f"{len(pixels)} pictures and {len(objects)} wishes: one for each is needed")
        wanted = [read_objects(one) for one in objects]
        return self.through(given, lambda fitted: self._score(wanted, fitted["response"]), dimension)

    def _score(self, wanted: Sequence[dict[str, int] | Refusal], pixels: Pixels) -> Scores:
        failures: dict[int, tuple[Status, str]] = {}
        asked: dict[int, Question] = {}
        for number, one in enumerate(wanted):
            question = one if isinstance(one, Refusal) else self._detector.ask(one)
            if isinstance(question, Refusal):
                failures[number] = (question.status, question.detail)
            else:
                asked[number] = question
        rows = [torch.zeros(len(self.dimensions), device=pixels.device)] * len(wanted)
        if asked:
            found = self._detector.find(self._normalise(rows_of(pixels, list(asked))), list(asked.values()))
            for number, confidences in zip(asked, found, strict=True):
                scores = self.judge_objects(confidences, asked[number].counts)
                rows[number] = torch.stack([scores[dimension] for dimension in self.dimensions])
        return Scores(values=torch.stack(rows), failures=failures)


class Presence(GroundingRater):
    """Judges whether what is wanted is there: of all objects the least certain, and their mean."""

    gives = ("presence", "mean")

    def __init__(self, file: CardFile, settings: Settings) -> None:
        super().__init__(file, settings, arguments(file, GroundingArguments))

    def judge_objects(self, found: Sequence[Confidences], counts: Sequence[int]) -> Mapping[str, Float[Tensor, ""]]:
        there = torch.stack([presence(one, count) for one, count in zip(found, counts, strict=True)])
        return {"presence": there.min(), "mean": there.mean()}


def presence(confidences: Confidences, count: int) -> Float[Tensor, ""]:
    """How sure the detector is that `count` boxes show the object; 0 where it has fewer boxes."""
    boxes = confidences.amax(dim=-1)
    return boxes.topk(count).values[-1] if count <= len(boxes) else boxes.new_zeros(())


def check_dimensions(file: CardFile, gives: Sequence[str]) -> None:
    """Raise `CardError` where a card has a dimension that its engine does not give."""
    for dimension in file.card.dimensions:
        if dimension not in gives:
            raise CardError(f"{file.where}: the engine gives {' and '.join(gives)}, not '{dimension}'")


def _preparation(preprocess: Mapping[str, Any], where: str) -> Preparation:
    if set(preprocess) != {"shortest", "longest"}:
        return declared_preparation(preprocess, where=where)
    sides = preprocess.values()
    if not all(isinstance(side, int) and side > 0 for side in sides):
        raise CardError(f"{where}: preprocess: shortest and longest are numbers of pixels, not {list(sides)}")
    make = WithinEdges(**preprocess)
    return Preparation(name=make.name, make=make)
