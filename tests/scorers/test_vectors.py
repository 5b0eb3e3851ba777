"""What has no direction has no number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import curate  # noqa: E402
from curate.errors import CurateError  # noqa: E402
from curate.records import Status  # noqa: E402
from curate.scorers.pictures import items_of  # noqa: E402
from curate.scorers.vectors import unit  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402


def test_lengths_become_one_and_a_vector_without_length_becomes_no_number() -> None:
    vectors = torch.tensor([[3.0, 4.0], [0.0, 0.0], [1e-15, 0.0]], dtype=torch.float64).float().requires_grad_()
    made = unit(vectors)
    assert made[[0, 2]].tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [1.0, 0.0]], "however short"
    assert made[1].isnan().all()
    (gradient,) = torch.autograd.grad(made[0].sum() + made[2].sum(), vectors)
    assert gradient[[0, 2]].isfinite().all()
    assert unit(vectors.half()[:1]).dtype == torch.float32
    torch.testing.assert_close(unit(vectors[:1]), torch.nn.functional.normalize(vectors[:1]), atol=0, rtol=0)


def first_is_zero(embed: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    def embedded(pixels: torch.Tensor) -> torch.Tensor:
        found = embed(pixels)
        return torch.cat([0 * found[:1], found[1:]])

    return embedded


def blind(rater: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tower see nothing in the first picture of a batch."""
    place, name = (rater._encoder, "_embed") if hasattr(rater, "_encoder") else (rater._towers._library, "embed_images")
    monkeypatch.setattr(place, name, first_is_zero(getattr(place, name)))


@pytest.mark.parametrize("name", ["pickscore", "clipscore", "siglip-so400m", "laion-aesthetic-v2", "q16", "dino"])
def test_a_zero_embedding_is_a_status_and_its_neighbours_keep_their_numbers(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rater: Any = curate.scorer(tiny_card(name, tmp_path).where, device="cpu")
    pictures = list(np.random.default_rng(1).integers(0, 256, (3, 40, 40, 3), dtype=np.uint8))
    beside = {role: [picture[::-1].copy() for picture in pictures] for role in rater.card.takes.conditions}
    whole = rater.score(pictures, ["a fox"] * 3, **beside)[:, 0].tolist()
    rater.close()
    blind(rater, monkeypatch)
    items = items_of(rater.card, rater.preparations, pictures, ["a fox"] * 3, beside)
    judged = {one.item: one.values[rater.card.main] for one in rater.judge(items)}
    assert (judged[0].value, judged[0].status) == (None, Status.NAN)
    sign = 1 if rater.card.higher_is_better else -1
    assert [sign * judged[number].value for number in (1, 2)] == pytest.approx(whole[1:], abs=1e-5)
    tensors = torch.from_numpy(np.stack(pictures)).movedim(-1, 1).float() / 255
    with pytest.raises(CurateError, match="a number that is not finite"):
        rater.score_tensor(tensors, ["a fox"] * 3, **{role: tensors.flip(-2) for role in beside})
