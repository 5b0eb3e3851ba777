"""Where weights are found, without torch and without a network."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from curate.cards import CardFile, load_card
from curate.errors import CardError, CurateError, MissingExtra, WeightsError
from curate.weights import weights_file, weights_folder

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
