"""Any ONNX model as a rater: the card says how pixels go in and how numbers come out.

    pixels -> resize (-> JPEG and back) -> crop -> colour order -> (pixels * scale - mean) / std -> network
           -> (L2 norm) -> (linear head) -> softmax or sigmoid -> one column for each dimension

A model comes as one file and runs on ONNX Runtime's own operators: data in other files, custom operators and inputs of another
shape are refused when the card is loaded, with a sentence.

The ONNX Runtime that the extras install is the one for CPUs. Where a run asks for CUDA and there is no other, the model runs on
the CPU, and the log says so once: models of this size do well there, and the networks beside it should not have to wait for
another build. With onnxruntime-gpu in its place it runs where the run says.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from curate.batch_raters import BatchRater
from curate.cards import CardFile
from curate.errors import CardError, WeightsError
from curate.rater_settings import Settings
from curate.raters import Item, Judgement, Preparation, measured
from curate.scorers.adapters.onnx_file import has_external_data
from curate.scorers.arguments import Arguments, arguments
from curate.scorers.sharing import loaded_once
from curate.shards.resize import Geometry, Interpolation, Mode, Rounding, resize
from curate.weights import first_line, weights_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Numbers = NDArray[np.float32]

logger = logging.getLogger(__name__)

Channels = tuple[float, float, float]


class Preprocess(Arguments):
    """How a picture becomes the square that the model takes: the fields of `curate.shards.resize.Geometry`, and JPEG."""

    size: int
    mode: Mode = "shortest"
    crop: int | None = None
    interpolation: Interpolation = "bicubic"
    rounding: Rounding = "round"
    fill: tuple[int, int, int] = (0, 0, 0)
    jpeg_quality: int | None = Field(default=None, ge=1, le=100)
    """Encode as JPEG and decode again after resizing, for models trained on files that were."""

    @model_validator(mode="after")
    def _holds_together(self) -> Preprocess:
        self.geometry()  # Its own checks raise ValueError, which becomes the sentence.
        return self

    def geometry(self) -> Geometry:
        return Geometry(**self.model_dump(exclude={"jpeg_quality"}))

    def preparation(self) -> Preparation:
        geometry = self.geometry()
        if self.jpeg_quality is None:
            return Preparation(name=geometry.name, make=geometry)
        made = ThroughJpeg(geometry=geometry, quality=self.jpeg_quality)
        return Preparation(name=f"{geometry.name}:jpeg-{made.quality}", make=made)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThroughJpeg:
    """A geometry with a JPEG round trip between resizing and cropping. Picklable."""

    geometry: Geometry
    quality: int

    def __call__(self, pixels: Pixels) -> Pixels:
        height, width = pixels.shape[:2]
        if self.geometry.is_extreme(height, width):
            return self._round_trip(self.geometry(pixels))
        resized = resize(pixels, *self.geometry.resized(height, width), self.geometry.interpolation)
        return self.geometry.frame(self._round_trip(resized))

    def _round_trip(self, pixels: Pixels) -> Pixels:
        from PIL import Image

        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format="JPEG", quality=self.quality)
        return np.array(Image.open(file).convert("RGB"))


class OnnxArguments(Arguments):
    """The `args` of a card for `OnnxModel`."""

    preprocess: Preprocess
    colours: Literal["rgb", "bgr"] = "rgb"
    layout: Literal["nchw", "nhwc"] = "nchw"
    scale: float = 1 / 255
    """What the 8-bit levels are multiplied with, before mean and std."""
    mean: Channels = (0.0, 0.0, 0.0)
    """In the order of `colours`."""
    std: Channels = (1.0, 1.0, 1.0)
    dtype: Literal["float32", "float16", "uint8"] = "float32"
    input: str | None = None
    """Name of the input; null where the model has one."""
    output: str | int = 0
    """Name or position of the output."""
    normalise: bool = False
    """Bring the output to unit length; for embeddings."""
    activation: Literal["none", "softmax", "sigmoid"] = "none"
    columns: Mapping[str, int] | None = None
    """For each dimension its column of the output; null where the output is one number."""


class OnnxModel(BatchRater):
    """Judges pictures by the numbers an ONNX model gives."""

    def __init__(self, file: CardFile, settings: Settings) -> None:
        self._args = arguments(file, OnnxArguments)
        self._columns = dict(self._args.columns or {file.card.main: 0})
        self.dimensions = tuple(self._columns)
        self._preparation = self._args.preprocess.preparation()
        self.preparations = (self._preparation,)
        path = weights_file(file, "model", offline=settings.offline)
        self._session = open_session(path, settings.device, file.where)
        self._input = _named(self._session.get_inputs(), self._args.input, "input", file.where)
        self._output = _named(self._session.get_outputs(), self._args.output, "output", file.where)
        self._head = _head(file, settings.offline) if "head" in file.card.weights else None
        self.batch_size = 1 if self._batch_is_fixed() else settings.batch_size or self.batch_size
        self._try_out(file)

    def is_out_of_memory(self, problem: BaseException) -> bool:
        return isinstance(problem, MemoryError) or "Failed to allocate memory" in str(problem)

    def judge_batch(self, batch: Sequence[Item]) -> list[Judgement]:
        place = (self._preparation.role, self._preparation.name)
        numbers = self._numbers([item.prepared[0][place] for item in batch])
        return [
            Judgement(item=item.number, values={name: measured(row[column]) for name, column in self._columns.items()})
            for item, row in zip(batch, numbers, strict=True)
        ]

    def _numbers(self, squares: Sequence[Pixels]) -> Numbers:
        """What the model says, (batch, columns), of 8-bit squares (side, side, 3)."""
        (output,) = self._session.run([self._output], {self._input: self._fed(np.stack(squares))})
        numbers: Numbers = np.asarray(output, dtype=np.float32).reshape(len(squares), -1)
        if self._args.normalise:
            numbers = numbers / np.linalg.norm(numbers, axis=1, keepdims=True)
        if self._head is not None:
            numbers = numbers @ self._head[0].T + self._head[1]
        return _activated(numbers, self._args.activation)

    def _fed(self, squares: Pixels) -> NDArray[Any]:
        """The input (batch, …) of 8-bit squares (batch, side, side, 3)."""
        pixels = squares if self._args.colours == "rgb" else squares[..., ::-1]
        if self._args.dtype == "uint8":
            fed: NDArray[Any] = pixels
        else:
            mean, std = np.array(self._args.mean, np.float32), np.array(self._args.std, np.float32)
            fed = ((pixels.astype(np.float32) * np.float32(self._args.scale) - mean) / std).astype(self._args.dtype)
        return np.ascontiguousarray(fed.transpose(0, 3, 1, 2) if self._args.layout == "nchw" else fed)

    def _batch_is_fixed(self) -> bool:
        shape = next(one.shape for one in self._session.get_inputs() if one.name == self._input)
        return bool(shape) and shape[0] == 1

    def _try_out(self, file: CardFile) -> None:
        """One grey square through the model now, so that what does not fit is said before a run and not sample by sample."""
        side = self._args.preprocess.geometry().side
        try:
            numbers = self._numbers([np.full((side, side, 3), 128, dtype=np.uint8)])
        except _runtime_errors() as problem:
            raise CardError(f"{file.where}: the model does not take what the card feeds it: {first_line(problem)}") from problem
        for name, column in self._columns.items():
            if not 0 <= column < numbers.shape[1]:
                raise CardError(
                    f"{file.where}: '{name}' is column {column}, but the model gives {numbers.shape[1]} numbers for a picture"
                )


def _activated(numbers: Numbers, activation: str) -> Numbers:
    if activation == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-numbers.astype(np.float64))), dtype=np.float32)
    if activation == "softmax":
        raised = np.exp(numbers - numbers.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float32)
    return numbers


def open_session(path: Path, device: str, where: str) -> Any:
    """The session of a model, the same one for the same bytes on the same device; its `run` may be called by several threads.

    Raises `WeightsError` for what is no model, `CardError` for one that cannot be run here or names other files.
    """
    import onnxruntime

    providers = _providers(onnxruntime.get_available_providers(), device, where)
    data = path.read_bytes()
    key = ("onnx", hashlib.sha256(data).hexdigest(), repr(providers))
    return loaded_once(key, lambda: _session(data, providers, path, where))


def _session(data: bytes, providers: list[Any], path: Path, where: str) -> Any:
    import onnxruntime

    try:
        outside = has_external_data(data)
    except ValueError as problem:
        raise WeightsError(f"{where}: {path} is not an ONNX model ({problem})") from problem
    if outside:
        raise CardError(f"{where}: {path} keeps data in other files, which is refused; save the model as one file")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # What goes wrong is raised, and said once.
    # Without this, 8-bit models overflow on processors without VNNI and give other numbers there.
    options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        return onnxruntime.InferenceSession(data, options, providers=providers)
    except _runtime_errors() as problem:
        raise CardError(f"{where}: ONNX Runtime cannot run {path}: {first_line(problem)}") from problem


def _providers(available: Sequence[str], device: str, where: str) -> list[Any]:
    """CPU always; CUDA before it where it is wanted and there. Never the providers that reach out to a network."""
    if "CUDAExecutionProvider" not in available:
        if device.startswith("cuda"):
            _tell_of_the_cpu(where)
        return ["CPUExecutionProvider"]
    if device == "cpu":
        return ["CPUExecutionProvider"]
    number = device.partition(":")[2] or "0"
    return [("CUDAExecutionProvider", {"device_id": number}), "CPUExecutionProvider"]


@lru_cache
def _tell_of_the_cpu(where: str) -> None:
    """Once for a card, however many devices a run has."""
    logger.warning("%s: runs on the CPU, since the ONNX Runtime here is built without CUDA (onnxruntime-gpu has it)", where)


def _runtime_errors() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises: its exceptions share no base class. ValueError is numpy's word for shapes that do not fit."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    kinds = [kind for kind in vars(state).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return (*kinds, RuntimeError, ValueError)


def _named(places: Sequence[Any], wanted: str | int | None, kind: str, where: str) -> str:
    names = [str(place.name) for place in places]
    if wanted is None and len(names) == 1:
        return names[0]
    if isinstance(wanted, int) and 0 <= wanted < len(names):
        return names[wanted]
    if wanted in names:
        return str(wanted)
    raise CardError(f"{where}, field 'args.{kind}': the model has {', '.join(names)}, not {wanted!r}")


def _head(file: CardFile, offline: bool) -> tuple[Numbers, Numbers]:
    """Weights (columns, features) and bias (columns) of a linear head, from an .npz with arrays `weights` and `bias`."""
    path = weights_file(file, "head", offline=offline)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            weights = np.atleast_2d(arrays["weights"]).astype(np.float32)
            bias = np.atleast_1d(arrays["bias"]).astype(np.float32)
    except (OSError, ValueError, KeyError) as problem:
        raise WeightsError(f"{file.where}: {path} is no .npz with 'weights' and 'bias': {first_line(problem)}") from problem
    if weights.ndim != 2 or bias.shape != weights.shape[:1]:
        raise WeightsError(f"{file.where}: {path} has weights {weights.shape} and bias {bias.shape}, which do not fit")
    return weights, bias
