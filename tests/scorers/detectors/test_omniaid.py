"""OmniAID: parity with the original computation written out expert by expert, on random weights under the original's names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
data = pytest.importorskip("skimage.data")

from PIL import Image  # noqa: E402

from curate.errors import CardError, WeightsError  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.scorers.detectors.omniaid import OmniAid, Squashed  # noqa: E402
from curate.scorers.detectors.omniaid_network import build_network  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402
from tests.scorers.tiny.detectors import omniaid_state  # noqa: E402

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
HEADS, PATCH = 4, 8

State = dict[str, torch.Tensor]


def projected(x: torch.Tensor, state: State, name: str, chosen: list[tuple[int, float]]) -> torch.Tensor:
    """The weight of one picture, made explicitly: main and every chosen expert, then one matrix product."""
    weight = state[f"{name}.weight_main"].clone()
    for expert, gate in chosen:
        up, scale, down = (state[f"{name}.{part}_experts.{expert}"] for part in "USV")
        weight += gate * up @ torch.diag(scale) @ down
    return x @ weight.T + state[f"{name}.bias"]


def norm(x: torch.Tensor, state: State, name: str) -> torch.Tensor:
    return torch.nn.functional.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], 1e-5)


def original(square: np.ndarray, state: State, top_k: int = 2) -> tuple[torch.Tensor, list[tuple[int, float]]]:
    """Probabilities of the two classes, and the experts that were chosen, for one prepared picture."""
    pixels = (torch.from_numpy(square).float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    kernel = state["embeddings.patch_embedding.weight"].flatten(1)
    patches = torch.nn.functional.unfold(pixels.permute(2, 0, 1)[None], PATCH, stride=PATCH)[0].T @ kernel.T
    x = torch.cat([state["embeddings.class_embedding"][None], patches]) + state["embeddings.position_embedding.weight"]
    hidden = torch.relu(x[1:].mean(0) @ state["gating_network.network.0.weight"].T + state["gating_network.network.0.bias"])
    preferred = hidden @ state["gating_network.network.2.weight"].T + state["gating_network.network.2.bias"]
    best = sorted(range(len(preferred)), key=lambda expert: -float(preferred[expert]))[:top_k]
    gates = preferred[best].softmax(0).tolist()
    chosen = [*zip(best, gates, strict=True), (len(preferred), 1.0)]
    x = norm(x, state, "ln_pre")
    for layer in range(2):
        prefix = f"encoder_layers.{layer}"
        y = norm(x, state, f"{prefix}.layer_norm1")
        q, k, v = (projected(y, state, f"{prefix}.self_attn.{part}_proj", chosen) for part in "qkv")
        heads = []
        for part in range(HEADS):
            where = slice(part * q.shape[1] // HEADS, (part + 1) * q.shape[1] // HEADS)
            logits = q[:, where] @ k[:, where].T / (q.shape[1] / HEADS) ** 0.5
            heads.append(logits.softmax(-1) @ v[:, where])
        x = x + projected(torch.cat(heads, dim=1), state, f"{prefix}.self_attn.out_proj", chosen)
        y = norm(x, state, f"{prefix}.layer_norm2") @ state[f"{prefix}.mlp.fc1.weight"].T + state[f"{prefix}.mlp.fc1.bias"]
        y = y * torch.sigmoid(1.702 * y)
        x = x + y @ state[f"{prefix}.mlp.fc2.weight"].T + state[f"{prefix}.mlp.fc2.bias"]
    logits = norm(x[0], state, "ln_post") @ state["head.weight"].T + state["head.bias"]
    return logits.softmax(0), chosen


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    return [data.astronaut()[:256, 100:400], data.coffee()[100:, 200:500], data.chelsea(), data.astronaut()[200:, :256]]


@pytest.mark.parametrize("real", [0, 1])
def test_the_value_is_that_of_the_original(real: int, pictures: list[np.ndarray], tmp_path: Path) -> None:
    rater = load_rater(tiny_card("omniaid", tmp_path, real=real))
    assert isinstance(rater, OmniAid)
    state = omniaid_state()
    wanted, routes = zip(*(original(rater.preparations[0].make(one), state) for one in pictures), strict=True)
    values = [float(probabilities[real]) for probabilities in wanted]
    assert np.ptp(values) > 0.02, "the pictures differ enough for parity to mean something"
    assert len({tuple(expert for expert, _ in route) for route in routes}) > 1, "they take different experts"
    np.testing.assert_allclose(rater.score(pictures)[:, 0].numpy(), values, atol=1e-5)


def test_higher_ranks_are_read_from_the_checkpoint(pictures: list[np.ndarray]) -> None:
    state = omniaid_state(rank=3)
    network = build_network(state, heads=HEADS, top_k=2, where="card")
    square = Squashed(sides=(32,))(pictures[0])
    pixels = (torch.from_numpy(square).float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    found = network(pixels.permute(2, 0, 1)[None]).softmax(-1)[0]
    torch.testing.assert_close(found, original(square, state)[0], atol=1e-5, rtol=0)


def test_two_squashes_are_those_of_torchvision_on_pillow(pictures: list[np.ndarray]) -> None:
    for picture in pictures:
        twice = Image.fromarray(picture).resize((512, 512), Image.Resampling.BILINEAR)
        twice = twice.resize((336, 336), Image.Resampling.BILINEAR)
        assert np.array_equal(Squashed(sides=(512, 336))(picture), np.asarray(twice))


def test_tensors_are_squashed_nearly_alike(pictures: list[np.ndarray]) -> None:
    make = Squashed(sides=(512, 336))
    pixels = torch.from_numpy(pictures[0].copy()).movedim(-1, 0)[None].float() / 255
    difference = np.abs(make.on_tensor(pixels)[0].movedim(0, -1).numpy() * 255 - make(pictures[0]))
    assert difference.mean() < 1


def test_every_weight_has_to_fit_and_what_is_for_training_may_stay() -> None:
    state = omniaid_state()
    build_network(state, heads=HEADS, top_k=2, where="card")
    for name in ("encoder_layers.1.self_attn.k_proj.S_experts.4", "head.bias", "embeddings.class_embedding"):
        with pytest.raises(WeightsError, match=name.replace(".", r"\.")):
            build_network({key: one for key, one in state.items() if key != name}, heads=HEADS, top_k=2, where="card")
    # The authors' later checkpoints route by a CLIP of its own.
    other = {**state, "feature_extractor.embeddings.class_embedding": torch.zeros(32)}
    with pytest.raises(WeightsError, match="feature_extractor"):
        build_network(other, heads=HEADS, top_k=2, where="card")
    with pytest.raises(WeightsError, match="no OmniAID"):
        build_network({"head.weight": torch.zeros(2, 3)}, heads=HEADS, top_k=2, where="card")


def test_a_card_that_does_not_fit_its_weights_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="the network takes 32"):
        load_rater(tiny_card("omniaid", tmp_path, squash=[48, 40]))
    for args in ({"heads": 5}, {"top_k": 6}):
        with pytest.raises(CardError, match="do not fit"):
            load_rater(tiny_card("omniaid", tmp_path, **args))
