"""Pictures of a size, and prompts of about a length, share a batch although they come mixed; and nothing of it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import curate  # noqa: E402
from curate.rater_settings import Settings  # noqa: E402
from curate.records import Status  # noqa: E402
from curate.scorers import device_batches  # noqa: E402
from curate.scorers.network import NetworkRater  # noqa: E402
from curate.scorers.passes import Inputs, Scores  # noqa: E402
from curate.scorers.pictures import items_of  # noqa: E402
from curate.scorers.transfers import Fetched  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402

SIZES = ((64, 64), (64, 96), (96, 64), (96, 96))
PROMPTS = ("a cat", "a long story " * 12)


def counted(rater: NetworkRater, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many samples each forward pass has, as they come."""
    passes: list[int] = []
    forward = rater.forward

    def count(inputs: Inputs) -> Scores:
        passes.append(len(inputs.prompts))
        return forward(inputs)

    monkeypatch.setattr(rater, "forward", count)
    return passes


def mixed(count: int, sizes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    noise = np.random.default_rng(0)
    return [noise.integers(0, 256, (*sizes[number % len(sizes)], 3), dtype=np.uint8) for number in range(count)]


@pytest.mark.parametrize("in_flight", [0, 1, 3])
def test_what_is_read_later_is_the_same(in_flight: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU; with a batch that does not fit, one that holds a sample without a prompt, and one that fails."""
    rater = curate.scorer(tiny_card("pickscore", tmp_path).where, batch_size=8)
    assert isinstance(rater, NetworkRater)
    monkeypatch.setattr(rater, "_in_flight", in_flight)
    forward, passes = rater.forward, []

    def failing(inputs: Inputs) -> Scores:
        passes.append(len(inputs.prompts))
        if "unlucky" in inputs.prompts:
            raise ValueError("unlucky")
        if len(inputs.prompts) > 4 and len(passes) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(inputs)

    monkeypatch.setattr(rater, "forward", failing)
    prompts = [f"picture {number}" for number in range(50)]
    prompts[5], prompts[44] = "", "unlucky"
    items = list(items_of(rater.card, rater.preparations, mixed(50, [(64, 64)]), ["a cat"] * 50, {}))
    items = [
        replace(item, samples=(replace(item.samples[0], prompt=prompt or None),))
        for item, prompt in zip(items, prompts, strict=True)
    ]
    judged = list(rater.judge(items))
    assert [one.item for one in judged] == list(range(50))
    found = [next(iter(one.values.values())) for one in judged]
    assert {number: one.status for number, one in enumerate(found) if one.status != Status.OK} == {
        5: Status.MISSING_PROMPT,
        44: Status.ERROR,
    }
    assert rater.batch_size == 4
    monkeypatch.setattr(rater, "forward", forward)
    rater.close()
    for number in (0, 17, 43, 49):
        alone = rater.score([mixed(50, [(64, 64)])[number]], [prompts[number]])
        assert found[number].value == pytest.approx(float(alone), abs=1e-4)


@pytest.mark.parametrize("in_flight", [0, 1])
def test_what_did_not_fit_is_tried_once_and_what_was_put_together_before_is_cut(
    in_flight: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rater = curate.scorer(tiny_card("pickscore", tmp_path).where, batch_size=8)
    assert isinstance(rater, NetworkRater)
    monkeypatch.setattr(rater, "_in_flight", in_flight)
    forward, passes = rater.forward, []

    def small(inputs: Inputs) -> Scores:
        passes.append(len(inputs.prompts))
        if len(inputs.prompts) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(inputs)

    monkeypatch.setattr(rater, "forward", small)
    assert len(rater.score(mixed(40, [(64, 64)]), ["a cat"] * 40)) == 40
    assert passes == [8] * (1 + in_flight) + [4] * 10


def test_what_a_device_says_late_is_a_failure_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU computes by itself: that it failed may be known only when its numbers are waited for."""
    rater = curate.scorer(tiny_card("pickscore", tmp_path).where, batch_size=8)
    assert isinstance(rater, NetworkRater)
    monkeypatch.setattr(rater, "_in_flight", 1)
    wait, waits = Fetched.wait, iter(range(100))

    def failing(fetched: Fetched) -> list[torch.Tensor]:
        if next(waits) == 1:
            raise RuntimeError("CUDA error: out of memory")
        return wait(fetched)

    pictures, prompts = mixed(32, [(64, 64)]), [f"picture {number}" for number in range(32)]
    expected = rater.score(pictures, prompts)
    rater.close()
    monkeypatch.setattr(Fetched, "wait", failing)
    np.testing.assert_allclose(rater.score(pictures, prompts), expected, atol=1e-4)
    assert rater.batch_size == 4


class Nothing(NetworkRater):
    def forward(self, inputs: Inputs) -> Scores:
        raise NotImplementedError


@pytest.mark.parametrize(("device", "in_flight"), [("cpu", 0), ("cuda:0", 1)])
def test_only_a_gpu_computes_by_itself(device: str, in_flight: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_batches, "pick_device", torch.device)
    rater = Nothing(tiny_card("pickscore", tmp_path), Settings(device=device), preparations=[])
    assert rater._in_flight == in_flight


@pytest.mark.parametrize(("card", "kinds"), [("lpips-alex", 4), ("yes-probability", 8), ("pickscore", 1)])
def test_what_belongs_together_is_judged_together(card: str, kinds: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rater = curate.scorer(tiny_card(card, tmp_path).where, batch_size=4)
    assert isinstance(rater, NetworkRater)
    pictures = mixed(32, SIZES)
    # Sizes change with every picture, prompts with every fourth.
    prompts = [PROMPTS[number // 4 % 2] for number in range(32)] if rater.card.takes.prompt != "unused" else None
    beside = {role: [255 - picture for picture in pictures] for role in rater.card.takes.conditions}
    passes = counted(rater, monkeypatch)
    scores = rater.score(pictures, prompts, **beside)
    assert passes == [4] * 8, f"{kinds} kinds, in batches of four"
    alone = curate.scorer(tiny_card(card, tmp_path).where, batch_size=1).score(pictures, prompts, **beside)
    np.testing.assert_allclose(scores, alone, rtol=1e-5, atol=1e-5)
