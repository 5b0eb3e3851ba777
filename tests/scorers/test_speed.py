"""What is written of the speed of cards, and the counting and the files that it comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("skimage.data")

from safetensors.torch import load_file  # noqa: E402

from tests.scorers import speed, speed_networks  # noqa: E402
from tests.scorers.speed_counting import Counter  # noqa: E402
from tests.scorers.speed_files import Place  # noqa: E402


def test_every_reward_card_has_a_speed_or_a_reason() -> None:
    written = speed.written()
    assert set(written) == set(speed.rewards()), "run `python -m tests.scorers.speed` for the cards that differ"
    for name, one in written.items():
        if name in speed.NOT_MEASURED:
            assert one == {"reason": speed.NOT_MEASURED[name]}
            continue
        assert one["machine"], name
        assert one["date"], name
        numbers = [one[kind] for kind in ("gflop", "seconds") if kind in one]
        assert numbers, name
        assert min(numbers) > 0, name
        assert ("gflop" in one) == (speed_networks.maker(name) is not None), name


def test_products_are_counted_and_not_computed() -> None:
    counter = Counter()
    left, right = torch.ones(2, 3, 5), torch.ones(2, 5, 7)
    with torch.no_grad(), counter:
        linear = torch.nn.Linear(7, 11)(left @ right)
        attended = torch.nn.functional.scaled_dot_product_attention(*(torch.ones(1, 4, 6, 8) for _ in range(3)))
        seen = torch.nn.functional.conv2d(torch.ones(1, 3, 8, 8), torch.ones(4, 3, 2, 2), stride=2)
        total = float(seen.sum()) + 1
    assert counter.operations == 2 * (2 * 3 * 5 * 7) + 2 * (2 * 3 * 7 * 11) + 4 * (4 * 6 * 6 * 8) + 2 * (4 * 4 * 4 * 12)
    assert (linear.shape, attended.shape, seen.shape) == ((2, 3, 11), (1, 4, 6, 8), (1, 4, 4, 4))
    assert total == 1, "what is not computed is zero, and what is small is computed"


def test_weights_are_not_moved_while_a_network_loads() -> None:
    weight = torch.zeros(300, 300)
    counter = Counter()
    with torch.no_grad(), counter:
        with counter.loading():
            weight.copy_(torch.ones(300, 300))
        assert float(weight.sum()) == 0
        weight.copy_(torch.ones(300, 300))
        assert float(weight.sum()) == 300 * 300


@pytest.mark.parametrize("filled", [False, True])
def test_files_hold_tensors_of_the_shapes_asked(tmp_path: Path, *, filled: bool) -> None:
    shapes = {"a.weight": (3, 5), "b.weight": (7,), "b.running_var": (7,), "b.num_batches_tracked": ()}
    place = Place(folder=tmp_path, filled=filled)
    place.write("inner/model.safetensors", shapes, torch.bfloat16)
    state = load_file(tmp_path / "inner" / "model.safetensors")
    assert {name: tuple(one.shape) for name, one in state.items()} == shapes
    assert [state[name].dtype for name in ("a.weight", "b.num_batches_tracked")] == [torch.bfloat16, torch.int64]
    assert bool(state["a.weight"].any()) == filled
    assert state["b.running_var"].tolist() == [float(filled)] * 7
    assert place.weights_bytes == (tmp_path / "inner" / "model.safetensors").stat().st_size


def test_a_holey_file_takes_no_disk(tmp_path: Path) -> None:
    Place(folder=tmp_path, filled=False).write("model.safetensors", {"weight": (20_000, 10_000)})
    found = (tmp_path / "model.safetensors").stat()
    assert found.st_size > 800_000_000
    assert found.st_blocks * 512 < 1_000_000


def test_a_card_is_counted_through_its_own_code() -> None:
    """DINO's ViT-S/16: 4.6 billion multiplications with additions a picture, as published, of two pictures."""
    make = speed_networks.maker("dino")
    assert make is not None
    gflop, weights_bytes = speed.counted("dino", make)
    assert gflop == pytest.approx(2 * 2 * 4.6, rel=0.02)
    assert weights_bytes == pytest.approx(4 * 21.7e6, rel=0.01), "21 million weights"
