"""Where weights are found, without torch and without a network."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from curate.cards import CardFile, load_card
from curate.errors import CardError, CurateError, MissingExtra, MissingWeights, WeightsError
from curate.weights import sha256_of, weights_file, weights_folder

REVISION = "0123456789abcdef0123456789abcdef01234567"


def card(folder: Path, weights: dict[str, Any]) -> CardFile:
    fields = {
        "name": "mine",
        "version": 1,
        "about": "mine",
        "target": "curate.scorers.adapters.onnx:OnnxModel",
        "dimensions": {"x": {}},
        "main": "x",
        "weights": {"model": weights},
        "extra": "safety",
        "licence": "CC0",
    }
    (folder / "mine.yaml").write_text(yaml.safe_dump(fields))
    return load_card(str(folder / "mine.yaml"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub that holds one repository with one file."""
    constants = pytest.importorskip("huggingface_hub.constants")
    root = tmp_path / "hub"
    snapshot = root / "models--org--net" / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    (root / "models--org--net" / "refs").mkdir()
    (root / "models--org--net" / "refs" / "main").write_text(REVISION)
    (snapshot / "net.onnx").write_bytes(b"net")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(root))
    return snapshot


def test_paths_are_relative_to_the_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "net.onnx").write_bytes(b"net")
    monkeypatch.chdir("/")
    assert weights_file(card(tmp_path, {"path": "weights/net.onnx"}), "model").read_bytes() == b"net"
    assert weights_file(card(tmp_path, {"path": "weights", "file": "net.onnx"}), "model").read_bytes() == b"net"
    assert weights_file(card(tmp_path, {"path": str(tmp_path / "weights" / "net.onnx")}), "model").read_bytes() == b"net"


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "sub/../../secret", "*"])
def test_a_file_never_leaves_its_folder_and_is_no_pattern(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "weights" / "sub").mkdir(parents=True)
    (tmp_path / "weights" / "net.onnx").write_bytes(b"net")
    with pytest.raises(WeightsError, match="does not hold"):
        weights_file(card(tmp_path, {"path": "weights", "file": name}), "model")


def test_the_first_choice_that_is_there_is_taken(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    mine = card(tmp_path, {"path": "weights"})
    choices = (("config.json", "model*.safetensors"), ("config.json", "*.bin"))
    with pytest.raises(WeightsError, match=r"does not hold config\.json and model\*\.safetensors or config\.json and \*\.bin"):
        weights_folder(mine, "model", *choices)
    (tmp_path / "weights" / "config.json").touch()
    (tmp_path / "weights" / "old.bin").touch()
    assert weights_folder(mine, "model", *choices) == tmp_path / "weights"


def test_a_digest_is_checked(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"net")
    right = hashlib.sha256(b"net").hexdigest()
    assert weights_file(card(tmp_path, {"path": "net.onnx", "sha256": right}), "model")
    with pytest.raises(WeightsError, match=f"is {right}, not weights.model.sha256"):
        weights_file(card(tmp_path, {"path": "net.onnx", "sha256": "0" * 64}), "model")


def test_files_of_packages_are_found_without_importing_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "package_of_weights"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "net.onnx").write_bytes(b"net")
    monkeypatch.syspath_prepend(tmp_path)
    assert weights_file(card(tmp_path, {"package": "package_of_weights", "file": "net.onnx"}), "model") == package / "net.onnx"
    with pytest.raises(MissingExtra, match=r"no package not_here.*curate-preferences\[safety\]"):
        weights_file(card(tmp_path, {"package": "not_here", "file": "net.onnx"}), "model")


def test_the_cache_of_the_hub_needs_no_network(tmp_path: Path, cache: Path) -> None:
    pinned = card(tmp_path, {"hub": "org/net", "revision": REVISION, "file": "net.onnx"})
    assert weights_file(pinned, "model", offline=True).read_bytes() == b"net"
    assert weights_file(pinned, "model", offline=False).read_bytes() == b"net"


def test_what_the_cache_lacks_is_not_taken_from_another_revision(tmp_path: Path, cache: Path) -> None:
    for weights in (
        {"hub": "org/net", "revision": "f" * 40, "file": "net.onnx"},
        {"hub": "org/net", "revision": REVISION, "file": "other.onnx"},
        {"hub": "org/other", "revision": REVISION, "file": "net.onnx"},
        {"hub": "not a name", "revision": REVISION, "file": "net.onnx"},
    ):
        with pytest.raises(WeightsError, match=r"not on this machine \(this run is offline\): get .* \(licence: CC0\)"):
            weights_file(card(tmp_path, weights), "model", offline=True)


SHARDED = ("config.json", "model*.safetensors")


def in_two_parts(folder: Path) -> None:
    """A folder of weights whose second part is there and whose first is not."""
    parts = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))
    (folder / "config.json").touch()
    (folder / parts["b"]).touch()


def test_a_missing_part_of_weights_is_named(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "weights").mkdir()
    in_two_parts(tmp_path / "weights")
    in_two_parts(cache)
    with pytest.raises(MissingWeights, match=r"weights lacks model-00001-of-00002\.safetensors, of which the index"):
        weights_folder(card(tmp_path, {"path": "weights"}), "model", SHARDED)
    with pytest.raises(MissingWeights, match=r"offline, and of what is here model-00001-of-00002\.safetensors is missing\): get"):
        weights_folder(card(tmp_path, {"hub": "org/net", "revision": REVISION}), "model", SHARDED, offline=True)


def test_only_the_files_that_are_wanted_are_advised(tmp_path: Path, cache: Path) -> None:
    mine = card(tmp_path, {"hub": "org/net", "revision": REVISION})
    with pytest.raises(MissingWeights) as told:
        weights_folder(mine, "model", ("config.json", "tokenizer*.json"), ("config.json", "vocab.json"), offline=True)
    command = re.search("`(hf download .*?)`", str(told.value))
    assert command is not None
    wanted = ["--include", "config.json", "--include", "tokenizer*.json"]
    assert shlex.split(command[1]) == ["hf", "download", "org/net", "--revision", REVISION, *wanted]
    assert "(where it lacks some of these, with --include vocab.json), or copy the card" in str(told.value)
    with pytest.raises(MissingWeights, match=rf"`hf download org/net --revision {REVISION} --include other\.onnx`, or copy"):
        weights_file(card(tmp_path, {"hub": "org/net", "revision": REVISION, "file": "other.onnx"}), "model", offline=True)
    with pytest.raises(MissingWeights, match=r"--include config\.json --include 'model\*\.safetensors\*'`, or copy"):
        weights_folder(mine, "model", SHARDED, offline=True)  # with the index of several parts


def test_weights_in_parts_are_fetched_with_their_index(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A repository of one file each, on a hub that is this test."""
    hub = pytest.importorskip("huggingface_hub")
    held = ["config.json", "model.safetensors.index.json", "model-00001-of-00001.safetensors", "model.onnx", "pytorch_model.bin"]
    fetched: list[str] = []

    def snapshot(repository: str, *, allow_patterns: list[str] | None, local_files_only: bool, revision: str) -> str:
        del repository, revision
        if not local_files_only:
            fetched.extend(hub.utils.filter_repo_objects(held, allow_patterns=allow_patterns))
        for name in fetched:
            (cache / name).write_text("{}")
        return str(cache)

    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    weights_folder(card(tmp_path, {"hub": "org/net", "revision": REVISION}), "model", SHARDED)
    assert fetched == held[:3]


def test_a_folder_of_a_card_that_ships_is_said_to_be_had_in_two_ways(tmp_path: Path) -> None:
    mine = card(tmp_path, {"path": "gone", "file": "net.onnx"})
    shipped = CardFile(card=mine.card.model_copy(update={"source": "https://example.org/net"}), where=mine.where, shipped=True)
    with pytest.raises(MissingWeights) as told:
        weights_file(shipped, "model")
    assert "gone does not hold net.onnx: get it from https://example.org/net (licence: CC0), or copy the card" in str(told.value)
    with pytest.raises(MissingWeights, match=r"does not hold net\.onnx$"):
        weights_file(mine, "model")


def test_a_digest_is_that_of_what_the_file_holds_now(tmp_path: Path) -> None:
    for content in (b"one", b"two", b"one"):
        (tmp_path / "net").write_bytes(content)
        os.utime(tmp_path / "net", ns=(1, len(content)))  # as a copy that keeps its time
        assert sha256_of(tmp_path / "net") == hashlib.sha256(content).hexdigest()
        time.sleep(0.02)  # clocks of file systems tick slowly


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"path": "gone.onnx"}, r"field 'weights\.model\.path': there is no file"),
        ({"path": "gone", "file": "net.onnx"}, "does not hold"),
        ({"package": "curate"}, r"field 'weights\.model\.file': say which file"),
    ],
)
def test_mistakes_are_sentences(weights: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(CurateError, match=said):
        weights_file(card(tmp_path, weights), "model")


def test_a_role_that_the_card_does_not_give_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"needs 'weights\.head', which the card does not give"):
        weights_file(card(tmp_path, {"path": "x"}), "head")
