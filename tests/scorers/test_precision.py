"""Convolutions in float32 while a batch is under way, and as before when none is; and scores that no caller's mode changes."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import curate  # noqa: E402
from curate.cards import CardFile  # noqa: E402
from curate.scorers.precision import full_precision, undisturbed  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402


def settings() -> tuple[bool, str]:
    return torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()


@pytest.fixture(params=[(True, "highest"), (False, "medium")])
def before(request: pytest.FixtureRequest) -> Iterator[tuple[bool, str]]:
    """What a caller has set."""
    were = settings()
    torch.backends.cudnn.allow_tf32, products = request.param
    torch.set_float32_matmul_precision(products)
    yield request.param
    torch.backends.cudnn.allow_tf32 = were[0]
    torch.set_float32_matmul_precision(were[1])


def test_the_settings_are_put_back_when_the_last_batch_is_done(before: tuple[bool, str]) -> None:
    first, second = full_precision(), full_precision()
    first.__enter__()
    second.__enter__()
    assert settings() == (False, "highest")
    first.__exit__(None, None, None)
    assert settings() == (False, "highest"), "another one is under way"
    second.__exit__(None, None, None)
    assert settings() == before


def test_a_batch_that_fails_puts_them_back_too(before: tuple[bool, str]) -> None:
    with pytest.raises(RuntimeError, match="out of memory"), full_precision():
        raise RuntimeError("out of memory")
    assert settings() == before


SETTINGS = {
    "=tf32": [3, 4, 5],  # of all operations, as the Trainer of transformers does
    "cuda.matmul=tf32": [3, 4, 5],
    "mkldnn.matmul=bf16": [3, 4, 5],
    "mkldnn.conv=ieee": [3, 5],
    "=tf32 cudnn.conv=ieee": [3, 4, 5],
}
"""What somebody sets, and which operations follow the setting for all of them to bfloat16, which those of a GPU cannot."""

IN_ANOTHER_PROCESS = """
import functools, json, os, sys, torch
from curate.scorers.precision import full_precision

backends = torch.backends
OPERATIONS = [
    backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn,
    backends.mkldnn.matmul, backends.mkldnn.conv, backends.mkldnn.rnn,
]
precisions = lambda: [one.fp32_precision for one in OPERATIONS]

def look(sets):
    for place, precision in (one.split("=") for one in sets.split()):
        functools.reduce(getattr, filter(None, place.split(".")), backends).fp32_precision = precision
    before = precisions()
    for _ in range(2):
        with full_precision():
            inside = precisions()
    after = precisions()
    backends.fp32_precision = "bf16"
    print(json.dumps([sets, before, inside, after, precisions()]), flush=True)

for sets in sys.argv[1:]:
    if not (child := os.fork()):  # settings that were never made cannot be made so again
        look(sets)
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(torch.backends, "fp32_precision"), reason="torch has one kind of settings before 2.9")
def test_newer_settings_are_put_back_too() -> None:
    """torch refuses to read its older settings where somebody uses the newer ones."""
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, *SETTINGS]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(said) == len(SETTINGS)
    for line in said:
        sets, before, inside, after, later = json.loads(line)
        assert set(inside) == {"ieee"}, sets
        assert after == before, sets
        assert [one for one, precision in enumerate(later) if precision == "bf16"] == SETTINGS[sets], sets


# A caller's modes.

NETWORKS = ["blip2-itc", "imagereward", "laion-aesthetic-v2", "lpips-alex", "mps", "pickscore"]
"""A card of each way of remembering, and of those that remember nothing."""


@pytest.fixture(scope="module", params=NETWORKS)
def card(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> CardFile:
    return tiny_card(request.param, tmp_path_factory.mktemp(request.param))


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)


def by_score(scorer: Any) -> list[float]:
    given = {role: [noise()[::-1].copy()] for role in scorer.card.takes.conditions}
    found: list[float] = scorer.score([noise()], ["a red fox"], **given)[0].tolist()
    return found


def by_tensor(scorer: Any) -> list[float]:
    pixels = torch.from_numpy(noise()).movedim(-1, 0)[None].float() / 255
    scores = scorer.score_tensor(pixels, ["a red fox"], **{role: pixels.flip(-2) for role in scorer.card.takes.conditions})
    return [float(scores)]


DOORS: list[Callable[[Any], list[float]]] = [by_score, by_tensor]


@pytest.mark.parametrize("first", DOORS)
def test_autocast_changes_no_score_neither_then_nor_later(first: Callable[[Any], list[float]], card: CardFile) -> None:
    scorer = curate.scorer(card.where, device="cpu")
    fresh = {}
    for door in DOORS:
        scorer.close()  # forgets what it knows
        fresh[door] = door(scorer)
    scorer.close()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert first(scorer) == fresh[first]
        assert torch.is_autocast_enabled("cpu"), "the caller's own computations stay in it"
    assert {door: door(scorer) for door in DOORS} == fresh
    scorer.close()


def test_a_network_loaded_in_autocast_or_in_inference_mode_is_the_same(card: CardFile) -> None:
    found = []
    for mode in (undisturbed(), torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode()):
        with mode:
            scorer = curate.scorer(card.where, device="cpu")
        found.append([door(scorer) for door in DOORS])
        del scorer
        gc.collect()  # the last one to hold the network lets go of it
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("door", DOORS)
def test_inference_mode_costs_no_later_gradient(door: Callable[[Any], list[float]], card: CardFile) -> None:
    gradients = []
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            scorer = curate.scorer(card.where, device="cpu")
            scores = door(scorer)
        pixels = (torch.from_numpy(noise()).movedim(-1, 0)[None].float() / 255).requires_grad_()
        others = {role: pixels.detach().flip(-2) for role in scorer.card.takes.conditions}
        (gradient,) = torch.autograd.grad(scorer.score_tensor(pixels, ["a red fox"], **others).sum(), pixels)
        gradients.append((scores, gradient))
        scorer.close()
        del scorer
        gc.collect()
    assert gradients[0][0] == gradients[1][0]
    assert torch.equal(gradients[0][1], gradients[1][1])
    assert gradients[0][1].abs().sum() > 0


def test_where_no_gradients_are_wanted_none_are_made(tmp_path: Path) -> None:
    scorer: Any = curate.scorer(tiny_card("pickscore", tmp_path).where, device="cpu")
    pixels = torch.rand(1, 3, 32, 32, requires_grad=True)
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            assert not scorer.score_tensor(pixels, ["a"]).requires_grad
    assert scorer.score_tensor(pixels, ["a"]).requires_grad


@pytest.mark.parametrize("name", ["pickscore", "hpsv2-1"])
def test_a_card_in_half_precision_stays_in_it_under_autocast(name: str, tmp_path: Path) -> None:
    scorer = curate.scorer(tiny_card(name, tmp_path, dtype="float16").where, device="cpu")
    fresh = [door(scorer) for door in DOORS]
    scorer.close()
    for kind in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype=kind):
            assert [door(scorer) for door in DOORS] == fresh
        scorer.close()
