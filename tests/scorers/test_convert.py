"""Pickled weights become safetensors, and what else a pickle may be runs nothing."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from safetensors.torch import load_file  # noqa: E402

from curate.cards import CardFile, load_card  # noqa: E402
from curate.errors import WeightsError  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.scorers import convert_process  # noqa: E402
from curate.scorers.convert import convert  # noqa: E402
from curate.scorers.convert_process import REFUSED_EXIT  # noqa: E402
from curate.scorers.pickles import converted_path  # noqa: E402
from curate.scorers.states import load_state  # noqa: E402
from curate.testing import card_yaml  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402

Card = Callable[[Path], CardFile]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def card(tmp_path: Path) -> Card:
    def made(path: Path) -> CardFile:
        target = "curate.scorers.towers.heads:EmbeddingHead"
        weights = {"head": {"path": str(path)}}
        return load_card(str(card_yaml(tmp_path / "mine.yaml", name="mine", target=target, weights=weights)))

    return made


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Hostile:
    """Unpickled by plain pickle, it runs a command."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.trace}",)


def test_tensors_come_out_bit_for_bit_and_the_record_says_what_was_done(card: Card, tmp_path: Path) -> None:
    state = {"module.weight": torch.randn(3, 4), "half": torch.randn(5).half(), "count": torch.tensor(7), "steps": 12}
    torch.save({"state_dict": state, "epoch": 3, "optimizer": {"lr": 0.1}}, tmp_path / "net.pt")
    (done,) = convert(card(tmp_path / "net.pt"))
    assert done.tensors == 3
    assert done.left_out == ("epoch", "optimizer", "steps")
    assert done.converted == str(converted_path(tmp_path / "net.pt"))
    found = load_state(card(tmp_path / "net.pt"), "head")
    assert set(found) == {"module.weight", "half", "count"}
    for name, tensor in found.items():
        assert tensor.dtype == state[name].dtype
        assert torch.equal(tensor, state[name])
    record = json.loads(Path(done.converted).with_suffix(".json").read_text())
    assert record["original_sha256"] == sha256(tmp_path / "net.pt")
    assert record["sha256"] == sha256(Path(done.converted))
    assert sorted(path.suffix for path in Path(done.converted).parent.iterdir()) == [".json", ".safetensors"]


def as_of_old(file: CardFile, role: str, parts: int) -> list[Path]:
    """The folder of a role with its weights as pickles, as transformers saved them before safetensors; in several parts."""
    folder = Path(file.where).parent / str(file.card.weights[role].path)
    (kept,) = folder.glob("*.safetensors")
    state = list(load_file(kept).items())
    kept.unlink()
    names = ["pytorch_model.bin"] if parts == 1 else [f"pytorch_model-{n + 1:05}-of-{parts:05}.bin" for n in range(parts)]
    for number, name in enumerate(names):
        torch.save(dict(state[number::parts]), folder / name)
    return [folder / name for name in names]


def score_of(file: CardFile) -> float:
    """Of one picture; nothing of the rater is left."""
    picture = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    rater = load_rater(file)
    try:
        return float(rater.score([picture], ["a red cat"])[0, 0])
    finally:
        rater.close()


PICKLED_FOLDERS = [
    ("clip-l14", "model", 1),
    ("blip-itm", "model", 2),
    ("vqascore-clip-flant5", "model", 1),
]
"""Cards whose weights transformers saved, one of them with a network of ours; roles and parts."""


@pytest.mark.parametrize(("name", "role", "parts"), PICKLED_FOLDERS)
def test_pickles_in_a_folder_are_converted_too_and_never_opened_by_what_rates(
    name: str, role: str, parts: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tiny_card(name, tmp_path)
    wanted = score_of(file)
    pickles = as_of_old(file, role, parts)
    with pytest.raises(
        WeightsError, match=r"pytorch_model.*\.bin is a pickle, which curate does not open: run `curate raters conv"
    ):
        load_rater(file)
    done = convert(file)
    assert [(one.role, one.original) for one in done if "pytorch_model" in one.original] == [(role, str(one)) for one in pickles]
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("a pickle was opened by what rates"))
    assert score_of(file) == pytest.approx(wanted, rel=1e-6)


def test_a_folder_with_safetensors_needs_no_conversion(tmp_path: Path) -> None:
    file = tiny_card("clip-l14", tmp_path)
    torch.save({}, tmp_path / str(file.card.weights["model"].path) / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="no folder on this machine that holds one, so there is nothing to convert"):
        convert(file)
    load_rater(file).close()


def test_what_was_converted_is_left_alone_and_what_is_damaged_is_mended(card: Card, tmp_path: Path) -> None:
    torch.save({"a": torch.arange(3.0)}, tmp_path / "net.bin")
    (first,) = convert(card(tmp_path / "net.bin"))
    place = Path(first.converted)
    before = place.stat().st_mtime_ns
    (again,) = convert(card(tmp_path / "net.bin"))
    assert (first.fresh, again.fresh) == (True, False)
    assert place.stat().st_mtime_ns == before
    assert again.sha256 == first.sha256
    place.write_bytes(b"half a file")
    (mended,) = convert(card(tmp_path / "net.bin"))
    assert mended.fresh
    assert torch.equal(load_file(place)["a"], torch.arange(3.0))


def test_what_is_no_longer_what_was_made_is_not_read(card: Card, tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1000)}, tmp_path / "net.pt")
    file = card(tmp_path / "net.pt")
    (done,) = convert(file)
    converted = Path(done.converted)
    whole = converted.read_bytes()
    converted.write_bytes(whole[:-100] + bytes(100))
    no_longer = rf"{converted} is no longer what was made of .*net\.pt: run `curate raters convert"
    with pytest.raises(WeightsError, match=no_longer):
        load_state(file, "head")
    assert convert(file)[0].fresh
    assert torch.equal(load_state(file, "head")["a"], torch.ones(1000))
    record = converted.with_suffix(".json")
    record.write_text(record.read_text()[:-20])
    with pytest.raises(WeightsError, match=no_longer):
        load_state(file, "head")


def test_a_file_that_stays_as_it_is_is_hashed_once(card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"a": torch.ones(1000)}, tmp_path / "net.pt")
    file = card(tmp_path / "net.pt")
    converted = converted_path(tmp_path / "net.pt")
    converted.parent.mkdir(parents=True)
    convert_process.convert(tmp_path / "net.pt", converted)
    converted.with_suffix(".json").write_text(json.dumps({"sha256": sha256(converted)}))
    hashed: list[str] = []
    digest = hashlib.file_digest

    def counted(stream: Any, kind: str) -> Any:
        hashed.append(stream.name)
        return digest(stream, kind)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    for _ in range(3):
        load_state(file, "head")
    assert hashed.count(str(converted)) == 1


@pytest.mark.parametrize("renamed", [False, True])
def test_the_command_that_converts_finds_the_card(renamed: bool, tmp_path: Path) -> None:
    """By the path of its file, as a shell reads it, or by the name of the file where the card ships."""
    torch.save({"a": torch.ones(2)}, tmp_path / "net.pt")
    (tmp_path / "my cards").mkdir()
    target = "curate.scorers.towers.heads:EmbeddingHead"
    weights = {"head": {"path": str(tmp_path / "net.pt")}}
    mine = card_yaml(tmp_path / "my cards" / "a card.yaml", name="not-a-file", target=target, weights=weights)
    shipped = load_card("other=imagereward" if renamed else "imagereward")
    weighty = shipped.card.model_copy(update={"weights": load_card(str(mine)).card.weights})
    for file in (load_card(str(mine)), shipped.model_copy(update={"card": weighty})):
        with pytest.raises(WeightsError) as told:
            load_state(file, "head")
        command = re.search("run `curate raters convert (.*)`", str(told.value))
        assert command is not None
        (named,) = shlex.split(command[1])
        assert load_card(named).where == file.where


@pytest.mark.parametrize("wrapped", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_what_a_wrapper_put_before_every_name_is_taken_off_and_said(wrapped: str, tmp_path: Path) -> None:
    names = ["visual.proj", "module.weight", "logit_scale"]
    torch.save({"epoch": 1, "state_dict": {wrapped + name: torch.ones(2) for name in names}}, tmp_path / "epoch_1.pt")
    said = convert_process.convert(tmp_path / "epoch_1.pt", tmp_path / "out.safetensors")
    assert said == {"tensors": 3, "left_out": ["epoch"], "prefix": wrapped}
    assert set(load_file(tmp_path / "out.safetensors")) == set(names)


def test_a_name_that_only_some_begin_with_or_that_is_all_of_it_stays(tmp_path: Path) -> None:
    for names in (["module.a", "b"], ["module.", "module.a"], ["module.module."]):
        torch.save({name: torch.ones(1) for name in names}, tmp_path / "net.pt")
        convert_process.convert(tmp_path / "net.pt", tmp_path / "net.safetensors")
        kept = {"module."} if names == ["module.module."] else set(names)
        assert set(load_file(tmp_path / "net.safetensors")) == kept


def test_a_checkpoint_of_a_distributed_openclip_rates_as_its_plain_weights_do(tmp_path: Path) -> None:
    pytest.importorskip("open_clip")
    file = tiny_card("social-reward", tmp_path)
    wanted = score_of(file)
    (weights,) = (tmp_path / "model").glob("*.safetensors")
    state = {f"module.{name}": tensor for name, tensor in load_file(weights).items()}
    torch.save({"epoch": 1, "name": "mine", "state_dict": state}, tmp_path / "epoch_1.pt")
    fields = yaml.safe_load(Path(file.where).read_text())
    fields["weights"]["model"] = {"path": "epoch_1.pt"}
    Path(file.where).write_text(yaml.safe_dump(fields))
    for fresh in (True, False):
        (done,) = convert(load_card(file.where))
        assert (done.fresh, done.as_dict()["prefix"]) == (fresh, "module.")
    assert score_of(load_card(file.where)) == wanted


def test_what_lies_beside_the_weights_is_left_out_by_name(tmp_path: Path) -> None:
    """The state of an optimiser, and that of a random generator, are no second set of weights."""
    network = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(2)).sum().backward()
    optimizer.step()
    saved = {"model": network.state_dict(), "optimizer": optimizer.state_dict(), "random": {"cpu": torch.get_rng_state()}}
    torch.save(saved, tmp_path / "net.pt")
    said = convert_process.convert(tmp_path / "net.pt", tmp_path / "net.safetensors")
    assert said == {"tensors": 2, "left_out": ["optimizer", "random"], "prefix": ""}


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("views of one memory", {"a": [0.0, 1.0], "b": [0.0, 1.0, 2.0]}),
        ("one tensor", {"tensor": [0.0, 1.0, 2.0]}),
        ("the format before torch 1.6", {"a": [0.0, 1.0, 2.0]}),
        ("parameters", {"a": [0.0, 1.0, 2.0]}),
    ],
)
def test_what_torch_saves_in_other_ways(what: str, expected: dict[str, list[float]], tmp_path: Path) -> None:
    numbers = torch.arange(3.0)
    saved: dict[str, Any] = {
        "views of one memory": {"a": numbers[:2], "b": numbers},
        "one tensor": numbers,
        "the format before torch 1.6": {"a": numbers},
        "parameters": {"a": torch.nn.Parameter(numbers)},
    }
    torch.save(saved[what], tmp_path / "net.pth", _use_new_zipfile_serialization="before" not in what)
    assert convert_process.convert(tmp_path / "net.pth", tmp_path / "net.safetensors")["tensors"] == len(expected)
    assert {name: one.tolist() for name, one in load_file(tmp_path / "net.safetensors").items()} == expected


def hostile_files(folder: Path) -> dict[str, str]:
    """Files that must not be loaded, by name, with what is said of them."""
    torch.save({"a": Hostile(folder / "ran")}, folder / "hostile.pt")
    (folder / "hostile.p").write_bytes(pickle.dumps(Hostile(folder / "ran")))
    torch.save(torch.nn.Linear(2, 2), folder / "module.pt")
    torch.save([1, 2], folder / "list.pt")
    torch.save({"a": 1}, folder / "none.pt")
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(folder / "script.pt"))
    torch.save({"a": torch.eye(2).to_sparse()}, folder / "sparse.pt")
    torch.save({"a": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)}, folder / "quantised.pt")
    torch.save({"epoch": 3, "model": {"a": torch.ones(2)}, "ema": {"module.a": torch.zeros(2)}}, folder / "averaged.pt")
    torch.save({"state_dict": {"a": torch.ones(2)}, "model": {"b": torch.zeros(2)}}, folder / "two.pt")
    torch.save({1: torch.ones(2), "1": torch.zeros(2)}, folder / "alike.pt")
    (folder / "alike.p").write_bytes(pickle.dumps({1: np.ones(2), "1": np.zeros(2)}))
    torch.save({"a": torch.zeros(99)}, folder / "whole.pt")
    (folder / "cut.pt").write_bytes((folder / "whole.pt").read_bytes()[:300])
    (folder / "empty.pt").write_bytes(b"")
    trusted = "if you trust it, load it yourself, save its arrays as safetensors"
    return {
        "hostile.pt": rf"\(\w+\.system\), and these are never loaded; {trusted}",
        "hostile.p": rf"\(posix\.system\), and these are never loaded; {trusted}",
        "module.pt": r"\(torch\.nn\.modules\.linear\.Linear\), and these are never loaded",
        "list.pt": "^it holds a list, not tensors by name; if",
        "none.pt": "^it holds no tensors; if",
        "script.pt": rf"^it is a TorchScript archive, a program, whose weights `torch\.jit\.load.* gives; {trusted}",
        "sparse.pt": f"^'a' is a sparse tensor, which safetensors cannot hold; {trusted}",
        "quantised.pt": f"^'a' is a quantised tensor, which safetensors cannot hold; {trusted}",
        "averaged.pt": rf"^it holds more than one set of tensors \(model, ema\), and which is meant it does not say; {trusted}",
        "two.pt": r"^it holds more than one set of tensors \(state_dict, model\)",
        "alike.pt": f"^two of its names are both written '1'; {trusted}",
        "alike.p": f"^two of its names are both written '1'; {trusted}",
        "cut.pt": "damaged",
        "empty.pt": "it holds no tensors that can be read",
    }


def test_nothing_else_is_loaded_and_nothing_is_run(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    for name, said in hostile_files(tmp_path).items():
        refused = convert_process.convert(tmp_path / name, tmp_path / "out.safetensors")["refused"]
        assert re.search(said, refused), (name, refused)
        assert "\n" not in refused
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", ["float16", "float32", ">f8", "int64", "uint8", "bool"])
def test_arrays_of_a_plain_pickle_come_out_as_they_went_in(kind: str, protocol: int, tmp_path: Path) -> None:
    numbers = (np.arange(24).reshape(2, 3, 4) % 2).astype(kind)
    for held in (numbers, {"prompts": np.asfortranarray(numbers), "steps": 3, "empty": numbers[:0]}):
        (tmp_path / "prompts.p").write_bytes(pickle.dumps(held, protocol=protocol))
        said = convert_process.convert(tmp_path / "prompts.p", tmp_path / "out.safetensors")
        if protocol < 3:  # bytes are texts there, and what makes bytes of them again is a function like any other
            assert "(_codecs.encode)" in said["refused"]
            continue
        found = load_file(tmp_path / "out.safetensors")
        assert said == {"tensors": len(found), "left_out": ["steps"] if isinstance(held, dict) else [], "prefix": ""}
        for name, array in (held if isinstance(held, dict) else {"array": held}).items():
            if isinstance(array, np.ndarray):
                assert found[name].numpy().dtype == array.dtype.newbyteorder("=")
                np.testing.assert_array_equal(found[name].numpy(), array)


class Made:
    """Pickles as a call of `what` with `arguments`, and a state to be built."""

    def __init__(self, what: Any, arguments: tuple[Any, ...], state: Any = None) -> None:
        self.call = (what, arguments) if state is None else (what, arguments, state)

    def __reduce__(self) -> Any:
        return self.call


def hostile_pickles(trace: Path) -> dict[str, Any]:
    """What must not become an array, by what is tried."""
    array = np.zeros((2, 2))
    reconstruct, arguments, state = array.__reduce__()
    version, shape, dtype, order, raw = state
    return {
        "a command": Hostile(trace),
        "a command beside an array": {"array": array, "more": Hostile(trace)},
        "a command among the objects of an array": np.array([Hostile(trace)], dtype=object),
        "a command as the shape": Made(reconstruct, arguments, (version, Hostile(trace), dtype, order, raw)),
        "a command as the type": Made(reconstruct, (Hostile(trace), (0,), b"b")),
        "eval": Made(eval, (f"open({str(trace)!r}, 'w')",)),
        "an import": Made(__import__, ("antigravity",)),
        "a function of numpy": Made(np.load, (str(trace),)),
        "a type of numpy, called": Made(np.ndarray, ((2, 2),)),
        "a subclass": np.rec.array([(1, 2.0)]),
        "fields": np.zeros(2, dtype=[("a", "f4"), ("b", "i4")]),
        "a memory map": Made(np.memmap, (str(trace),)),
        "more numbers than bytes": Made(reconstruct, arguments, (version, (1 << 40,), dtype, order, raw)),
        "a negative side": Made(reconstruct, arguments, (version, (-2, -2), dtype, order, raw)),
        "a side that is no number": Made(reconstruct, arguments, (version, ("2", 2), dtype, order, raw)),
        "a list for bytes": Made(reconstruct, arguments, (version, shape, dtype, order, [1, 2, 3, 4])),
        "a dtype that is none": Made(reconstruct, arguments, (version, shape, "f8", order, raw)),
        "texts": np.array(["a", "b"]),
        "dates": np.array(["2020-01-01"], dtype="datetime64[D]"),
        "an array that was never built": Made(reconstruct, arguments),
        "numbers alone": [1, 2, 3],
    }


def test_hostile_pickles_run_nothing_and_make_no_array(tmp_path: Path) -> None:
    for tried, held in hostile_pickles(tmp_path / "ran").items():
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            (tmp_path / "hostile.p").write_bytes(pickle.dumps(held, protocol=protocol))
            said = convert_process.convert(tmp_path / "hostile.p", tmp_path / "out.safetensors")
            assert set(said) == {"refused"}, (tried, protocol)
            assert "\n" not in said["refused"]
        assert not (tmp_path / "ran").exists(), tried
    assert not (tmp_path / "out.safetensors").exists()


def test_a_damaged_pickle_of_an_array_is_refused(tmp_path: Path) -> None:
    whole = pickle.dumps({"array": np.arange(4.0)})
    for length in range(len(whole)):
        (tmp_path / "cut.p").write_bytes(whole[:length])
        assert "refused" in convert_process.convert(tmp_path / "cut.p", tmp_path / "out.safetensors"), length


def test_q16_reads_its_prompts_out_of_the_pickle_of_its_authors(tmp_path: Path) -> None:
    """A card over a pickle in the form of theirs: an array of half precision."""
    pytest.importorskip("transformers")
    file = tiny_card("q16", tmp_path)
    head = file.card.weights["head"].path
    (prompts,) = load_file(tmp_path / head).values()
    (tmp_path / "prompts.p").write_bytes(pickle.dumps(prompts.half().numpy()))
    text = Path(file.where).read_text()
    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    expected = load_rater(file).score([picture])
    Path(file.where).write_text(text.replace(head, "prompts.p"))
    (done,) = convert(load_card(file.where))
    assert done.tensors == 1
    assert torch.allclose(load_rater(load_card(file.where)).score([picture]), expected, atol=1e-2)


def test_a_refusal_is_one_sentence_and_leaves_nothing(card: Card, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "hostile.p").write_bytes(pickle.dumps(Hostile(tmp_path / "ran")))
    with pytest.raises(WeightsError, match=r"mine\.yaml: .*hostile\.p was not converted: .* never loaded; .*"):
        convert(card(tmp_path / "hostile.p"))
    assert not (tmp_path / "ran").exists()
    assert not list((cache / "curate" / "converted").iterdir())


def test_a_small_file_that_is_large_in_memory_is_refused(card: Card, tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1).expand(10**9)}, tmp_path / "bomb.pt")
    with pytest.raises(WeightsError, match="needs more memory than a file of its size"):
        convert(card(tmp_path / "bomb.pt"))


CONFINED = """
import ctypes, os, socket, subprocess
from curate.scorers.convert_process import confine

attempts = [
    lambda: os.system("true"),
    lambda: subprocess.run(["true"]),
    lambda: os.fork(),
    lambda: os.posix_spawn("/bin/true", ["true"], {}),
    lambda: os.execv("/bin/true", ["true"]),
    lambda: socket.create_connection(("127.0.0.1", 9)),
    lambda: ctypes.CDLL(None),
]
for attempt in attempts:
    child = os.fork()
    if child == 0:
        confine(1 << 30, 60)
        try:
            attempt()
        finally:
            os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_the_converting_process_is_confined() -> None:
    """Should the unpickler ever be got round: what it would be got round for ends the process."""
    done = subprocess.run([sys.executable, "-c", CONFINED], capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout.split() == [str(REFUSED_EXIT)] * 7


def test_a_card_without_pickles_has_nothing_to_convert(card: Card, tmp_path: Path) -> None:
    (tmp_path / "net.safetensors").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"'mine' names no pickled file of weights, .* so there is nothing to convert"):
        convert(card(tmp_path / "net.safetensors"))


def test_a_rater_over_a_pickle_says_to_convert_it_and_rates_after(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    file = tiny_card("laion-aesthetic-v2", tmp_path)
    place = tmp_path / file.card.weights["head"].path
    torch.save({"state_dict": load_file(place)}, tmp_path / "head.pth")
    text = Path(file.where).read_text()
    Path(file.where).write_text(text.replace(file.card.weights["head"].path, "head.pth"))
    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    expected = load_rater(file).score([picture])
    pickled = load_card(file.where)
    with pytest.raises(WeightsError, match=rf"head\.pth is a pickle, .*: run `curate raters convert {re.escape(file.where)}`"):
        load_rater(pickled)
    convert(pickled)
    assert torch.equal(load_rater(pickled).score([picture]), expected)
