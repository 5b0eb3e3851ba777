"""Raters that share a network, each in a thread of its own as in a run: every number is the one that the rater gives alone.

Threads are led through the network in step, layer by layer, so that whatever a network keeps on itself during a call is
overwritten by the other one each time, and not now and then. Where only one thread may enter at once, the step is given up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
data = pytest.importorskip("skimage.data")

from torch.nn.modules.module import register_module_forward_pre_hook  # noqa: E402

from curate.asks import Ask  # noqa: E402
from curate.cards import CardFile  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.rater_settings import Settings  # noqa: E402
from curate.scorers.network import NetworkRater  # noqa: E402
from curate.scorers.passes import Inputs  # noqa: E402
from curate.scorers.vlm.answering import LocalBackend  # noqa: E402
from tests.local_judges import YES_NO, encoded, judge_card, logprobs, replies, user  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402
from tests.scorers.tiny.token_probability import save_qwen  # noqa: E402

PICTURES = [
    "blip-itm",
    "blip2-itc",
    "clip-h14",
    "deep-feature",
    "dino",
    "dists",
    "dreamsim",
    "editreward",
    "geneval-hf",
    "grounding-dino-presence",
    "hpsv3",
    "imagereward",
    "ixc-2-5-reward",
    "laion-aesthetic-v2",
    "laion-watermark",
    "lpips-alex",
    "mps",
    "omniaid",
    "pickscore",
    "q16",
    "siglip-so400m",
    "vqascore-clip-flant5",
    "yes-probability",
]
"""Of each network that raters share, a card."""

VIDEOS = ["videoreward", "videoscore"]

LOOKED_FOR = {
    "geneval-hf": {"metadata": {"tag": "single_object", "include": [{"class": "cat", "count": 1}]}},
    "grounding-dino-presence": {"objects": {"cat": 1}},
}

WAIT = 0.2
"""Seconds for the other thread to come to the same layer."""


def together(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """What the calls give, each in a thread of its own, all of them at the same layer until one has not come in time."""
    gate = threading.Barrier(len(calls))
    passed: dict[int, set[int]] = {}

    def step(module: torch.nn.Module, _: Any) -> None:
        passed.setdefault(threading.get_ident(), set()).add(id(module))
        with suppress(threading.BrokenBarrierError):
            gate.wait(WAIT)

    hook = register_module_forward_pre_hook(step)
    try:
        with ThreadPoolExecutor(len(calls)) as threads:
            found = [future.result() for future in [threads.submit(call) for call in calls]]
    finally:
        hook.remove()
    assert len(passed) == len(calls)
    assert set.intersection(*passed.values()), "they share a network"
    return found


@torch.no_grad()
def of_video(rater: NetworkRater, frames: int, prompt: str) -> Any:
    pixels = torch.rand(1, frames, 3, 56, 56, generator=torch.Generator().manual_seed(frames))
    return rater.forward(Inputs(pixels={"response": pixels}, prompts=[prompt])).values


def of_pictures(rater: NetworkRater, pictures: list[np.ndarray], prompts: list[str]) -> Any:
    rater.close()  # what it remembers would not go through the network again
    beside = {role: [np.ascontiguousarray(one[::-1]) for one in pictures] for role in rater.card.takes.conditions}
    return rater.score(pictures, prompts, **beside)


def calls_of(card: CardFile) -> list[Callable[[], Any]]:
    """Calls of two raters of a card: some inputs are of other sizes, so that what belongs to one does not fit the other, and
    some are of one size, so that it would."""
    one, other = load_rater(card), load_rater(card)
    assert isinstance(one, NetworkRater)
    assert isinstance(other, NetworkRater)
    if card.card.name in VIDEOS:
        return [partial(of_video, one, 2, "a red cat on a mat"), partial(of_video, other, 4, "x")]
    large, small, alike = data.astronaut()[:128, 100:292], data.chelsea()[:60, :60], data.coffee()[:60, 200:260]
    return [
        partial(of_pictures, one, [large, small], ["a red cat on a mat", "a fox"]),
        partial(of_pictures, other, [alike, np.rot90(large).copy()], ["a dog", "x"]),
    ]


@pytest.mark.parametrize("name", [*PICTURES, *VIDEOS])
def test_raters_of_one_network_do_not_see_each_other(name: str, tmp_path: Path) -> None:
    calls = calls_of(tiny_card(name, tmp_path, **LOOKED_FOR.get(name, {})))
    for found, wanted in zip(together(calls), [call() for call in calls], strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-6)


def test_judges_of_one_network_do_not_see_each_other(tmp_path: Path) -> None:
    """What is said goes through the network token by token, and some models keep on themselves where the text before it ended."""
    save_qwen(tmp_path / "model")
    card, cat, cup = judge_card(tmp_path), encoded(data.chelsea()[:84, :56]), encoded(data.coffee()[:56, 200:312])
    asked = [
        [user(cat, "Is it a cat?"), user(cat, cup, "Which of them is a cup, and which is none?")],
        [user(cup, "What is it? " * 5), user("Say something.")],
    ]
    calls = []
    for turns in asked:
        asks = [Ask(turns=(turn,), labels=YES_NO) for turn in turns] + [Ask(turns=(turn,), max_tokens=12) for turn in turns]
        calls.append(partial(replies, LocalBackend(card, Settings()), asks))
    for found, wanted in zip(together(calls), [call() for call in calls], strict=True):
        assert [one.text for one in found] == [one.text for one in wanted]
        for reply, alone in zip(found[:2], wanted[:2], strict=True):
            assert logprobs(reply) == pytest.approx(logprobs(alone), abs=1e-6)
