"""Batches that survive bad items and little memory, and cards that may not run just any code."""

from __future__ import annotations

import gc
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from curate.api import show
from curate.batch_raters import BatchRater
from curate.cards import CardFile, load_card, shipped_cards
from curate.errors import CardError, CurateError, MissingExtra
from curate.rater_loading import load_rater
from curate.rater_settings import Settings
from curate.raters import Item, Judgement, Rater, measured
from curate.records import Media, Sample, Status, sample_id
from curate.testing import write_shard


def item(number: int) -> Item:
    response = (Media(kind="text", digest=f"{number:064x}", text=str(number)),)
    sample = Sample(
        id=sample_id(None, {}, response), group="g", shard="s", key=str(number), index=0, prompt=None, response=response
    )
    return Item(number=number, samples=(sample,))


class Doubles(BatchRater):
    """Gives twice the number of each item; runs out of memory above `room` items, and fails on the `bad`."""

    dimensions = ("twice",)

    def __init__(self, *, room: int = 10**9, bad: frozenset[int] = frozenset(), batch_size: int = 8) -> None:
        self.room, self.bad, self.batch_size = room, bad, batch_size
        self.batches: list[int] = []

    def judge_batch(self, batch: Sequence[Item]) -> list[Judgement]:
        self.batches.append(len(batch))
        if len(batch) > self.room:
            raise MemoryError(f"no room for {len(batch)}")
        if wrong := [one.number for one in batch if one.number in self.bad]:
            raise ValueError(f"cannot judge {wrong[0]}")
        return [Judgement(item=one.number, values={"twice": measured(2.0 * one.number)}) for one in batch]


def judged(rater: Rater, count: int) -> dict[int, tuple[Status, float | None]]:
    found = [(one.item, one.values["twice"]) for one in rater.judge(map(item, range(count)))]
    assert len({number for number, _ in found}) == len(found) == count, "one judgement for each item"
    return {number: (value.status, value.value) for number, value in found}


# Batches.


@given(
    count=st.integers(0, 40),
    room=st.integers(0, 12),
    batch_size=st.integers(1, 12),
    bad=st.frozensets(st.integers(0, 39), max_size=6),
)
def test_whatever_fails_each_item_gets_its_own_judgement(count: int, room: int, batch_size: int, bad: frozenset[int]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        # Thousands of collections would take minutes beside a loaded torch, and free nothing here.
        patch.setattr(gc, "collect", lambda: 0)
        found = judged(Doubles(room=room, bad=bad, batch_size=batch_size), count)
    for number in range(count):
        if room == 0:
            assert found[number] == (Status.OOM, None)
        elif number in bad:
            assert found[number] == (Status.ERROR, None)
        else:
            assert found[number] == (Status.OK, 2.0 * number)


def test_a_batch_that_does_not_fit_is_halved_and_the_size_is_kept() -> None:
    rater = Doubles(room=3, batch_size=16)
    judged(rater, 32)
    assert rater.batch_size == 2
    assert rater.batches[:4] == [16, 8, 4, 2]
    assert all(size <= 4 for size in rater.batches[-4:])


def test_a_failure_names_its_kind_and_message() -> None:
    (bad,) = [one for one in Doubles(bad=frozenset({1})).judge(map(item, range(3))) if one.item == 1]
    assert bad.values["twice"].detail == "ValueError: cannot judge 1"


def test_items_are_taken_when_they_are_needed() -> None:
    taken = []

    def items() -> Iterator[Item]:
        for number in range(100):
            taken.append(number)
            yield item(number)

    judgements = Doubles(batch_size=4).judge(items())
    assert taken == []
    next(judgements)
    assert len(taken) == 4


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_a_status(number: float) -> None:
    value = measured(number, spread=1.0)
    assert (value.status, value.value, value.spread) == (Status.NAN, None, None)


# Loading.


def write_card(folder: Path, target: str, **changes: object) -> CardFile:
    fields = {"name": "mine", "version": 1, "about": "mine", "target": target, "dimensions": {"twice": {}}, "main": "twice"}
    (folder / "mine.yaml").write_text(yaml.safe_dump(fields | changes))
    return load_card(str(folder / "mine.yaml"))


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module outside curate that leaves a trace when it is imported."""
    (tmp_path / "foreign_engine.py").write_text(
        "import pathlib\n"
        f"pathlib.Path({str(tmp_path / 'ran')!r}).touch()\n"
        "class Engine:\n"
        "    place, wants_bytes, preparations, dimensions = 'worker', False, (), ('twice',)\n"
        "    def __init__(self, file, settings): pass\n"
        "    batch_size = 1\n"
        "    def judge(self, items): return iter(())\n"
        "    def close(self): pass\n"
        "def half(file, settings): return Engine(file, settings).place\n"
        "def other(file, settings):\n"
        "    made = Engine(file, settings)\n"
        "    made.dimensions = ('thrice',)\n"
        "    return made\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("foreign_engine", None)


def test_code_outside_curate_is_not_even_imported_without_trust(foreign: Path) -> None:
    card = write_card(foreign, "foreign_engine:Engine")
    with pytest.raises(CardError, match=r"mine\.yaml.*foreign_engine:Engine is no engine of curate; pass trust"):
        load_rater(card)
    assert not (foreign / "ran").exists()
    assert isinstance(load_rater(card, Settings(trust=True)), Rater)
    assert (foreign / "ran").exists()


@pytest.mark.parametrize(
    "target",
    ["curates.evil:Engine", "curate_evil:Engine", "os:system", "subprocess:run", "builtins:exec"],
)
def test_names_that_only_look_like_ours_are_outside(target: str, tmp_path: Path) -> None:
    with pytest.raises(CardError, match="no engine of curate"):
        load_rater(write_card(tmp_path, target))


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("curate.scorers.nothing:Engine", "curate.scorers.nothing cannot be imported"),
        ("curate.scorers.measures.signal:Nothing", "has no engine 'Nothing'"),
        ("curate.scorers.measures.signal:WEIGHTS", "has no engine 'WEIGHTS'"),
        ("curate.scorers.measures.signal:Signals", "Did you mean 'Signal'"),
        ("curate.scorers.measures.signal:np", "has no engine 'np'"),
        ("curate.testing:tarfile", "has no engine 'tarfile'"),
        ("curate.content:Path", "no engine of curate"),
        ("curate.__main__:app", "no engine of curate"),
        ("curate.api:rate", "no engine of curate"),
    ],
)
def test_a_target_that_is_no_engine_is_a_sentence(target: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(CardError, match=said):
        load_rater(write_card(tmp_path, target))


@pytest.mark.parametrize(("factory", "said"), [("half", "did not make a rater"), ("other", "the engine gives thrice, not twice")])
def test_an_engine_that_does_not_fit_its_card_is_a_sentence(factory: str, said: str, foreign: Path) -> None:
    with pytest.raises(CardError, match=said):
        load_rater(write_card(foreign, f"foreign_engine:{factory}"), Settings(trust=True))


def test_a_missing_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    card = write_card(
        tmp_path,
        "curate.scorers.adapters.onnx:OnnxModel",
        args={"preprocess": {"size": 8}},
        weights={"model": {"path": "mine.yaml"}},
        extra="safety",
    )
    with pytest.raises(MissingExtra, match=r"the rater 'mine' needs packages.*pip install 'curate-preferences\[safety\]'"):
        load_rater(card)


@pytest.mark.parametrize("file", shipped_cards().values(), ids=shipped_cards())
def test_every_shipped_card_becomes_a_rater_or_says_what_it_lacks(file: CardFile) -> None:
    """Without a network: what is missing may be packages, weights or a server, but the card itself holds together."""
    lack: CurateError | None = None
    try:
        rater = load_rater(file, Settings(device="cpu", offline=True))
    except CurateError as problem:
        lack = problem
    if lack is not None:
        assert not isinstance(lack, CardError)
        assert file.card.name in str(lack)
        return
    assert set(file.card.dimensions) <= set(rater.dimensions)
    assert rater.place in {"worker", "main"}
    rater.close()


def test_the_engine_in_the_guide_runs_as_it_says(tmp_path: Path) -> None:
    """Module, card and command are copied from the guide into an empty folder, and nothing is added."""
    text = (Path(__file__).parents[1] / "annotators" / "README.md").read_text(encoding="utf-8")
    guide = text.split("### An engine of your own")[1]
    code, card, command = (re.findall(rf"```{kind}\n(.*?)```", guide, re.DOTALL)[0] for kind in ("python", "yaml", "sh"))
    (tmp_path / "redness.py").write_text(code)
    (tmp_path / "redness.yaml").write_text(card)
    (tmp_path / "shards").mkdir()
    picture = BytesIO()
    Image.new("RGB", (4, 4), (51, 0, 0)).save(picture, "PNG")
    write_shard(tmp_path / "shards" / "a.tar", [("a", {"png": picture.getvalue(), "txt": b"red"})])
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(command, shell=True, cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True)  # noqa: S602
    assert done.returncode == 0, done.stderr
    (dimensions,) = (rater["dimensions"] for rater in show(tmp_path / "ratings").as_dict()["raters"])
    assert dimensions["red"]["mean"] == pytest.approx(0.2)
