"""Losses of the papers: their golden numbers, their laws, and their use over a scorer."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from curate.cards import load_card, shipped_cards  # noqa: E402
from curate.rater_loading import load_rater  # noqa: E402
from curate.scorers import losses  # noqa: E402
from curate.scorers.network import NetworkRater  # noqa: E402
from tests.scorers.tiny.cards import tiny_card  # noqa: E402

ABOUT = {"abs": 1e-6}


def one(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


# Golden numbers.


def test_reno() -> None:
    scores = {"hpsv2-1": one(0.3), "imagereward": one(1.2), "clip-h14": one(0.35), "pickscore": one(22.5)}
    assert losses.reno(scores).item() == pytest.approx(5.325, **ABOUT)
    assert losses.reno(scores | {"laion-aesthetic-v2": one(6.0)}).item() == pytest.approx(5.325, **ABOUT), "its weight is 0"
    assert losses.noise_prior(one(1, -2, 0.5, 0.3)[None]).item() == pytest.approx(0.001572, **ABOUT)


def test_alignprop() -> None:
    assert losses.distance_to(one(6.5, 11.0), losses.ALIGNPROP["laion-aesthetic-v2"]).tolist() == [3.5, 1.0]
    assert losses.distance_to(one(0.25), losses.ALIGNPROP["hpsv2-1"]).tolist() == [0.75]


def test_contrastive_margin() -> None:
    assert losses.contrastive_margin(one(12.5), one(3.0)).item() == 6.5
    assert losses.contrastive_margin(one(17.0), one(-1.0)).item() == 0


def test_answers_as_asked() -> None:
    """Two questions, by the definition: minus the logarithm of the probability that both are answered as wanted."""
    right, wrong = (one(2.0), one(0.5)), (one(-1.0), one(1.0))
    both = 1 / (1 + math.exp(-3.0)) * 1 / (1 + math.exp(0.5))
    log_odds = [wanted - other for wanted, other in zip(right, wrong, strict=True)]
    assert losses.answers_as_asked(*log_odds).item() == pytest.approx(-math.log(both), **ABOUT)
    with pytest.raises(ValueError, match="at least one question"):
        losses.answers_as_asked()


def test_bradley_terry_and_its_margin() -> None:
    assert losses.bradley_terry(one(1.0), one(1.0)).item() == pytest.approx(math.log(2), **ABOUT)
    assert losses.bradley_terry(one(1.57), one(0.0), margin=0.57).item() == pytest.approx(math.log(1 + math.exp(-1)), **ABOUT)


def test_rao_kupper() -> None:
    probabilities = losses.rao_kupper(one(1.0)).exp()[0]
    assert probabilities.tolist() == pytest.approx([0.352187, 0.068533, 0.579279], **ABOUT)
    assert losses.with_ties(one(1.0, 1.0), torch.tensor([0, 2])).tolist() == pytest.approx([1.043592, 0.545971], **ABOUT)
    with pytest.raises(ValueError, match="above 1"):
        losses.rao_kupper(one(0.0), k=1.0)


def test_gaussian_scores() -> None:
    given_scores = one(0.8), one(0.0), one(0.3), one(0.4)
    assert losses.gaussian_scores(*given_scores).item() == pytest.approx(0.397373, **ABOUT)
    assert losses.gaussian_scores(*given_scores, of="probability").item() == pytest.approx(0.384631, **ABOUT)


def test_regression() -> None:
    assert losses.regression(one(1.0), one(6.5)).item() == 1.0


def test_triplet() -> None:
    text, near, far = one(1, 0)[None], one(0.8, 0.6)[None], one(0.6, 0.8)[None]
    assert losses.triplet(text, near, far).item() == 0
    assert losses.triplet(text, far, near).item() == pytest.approx(0.7, **ABOUT)


# Laws.


@given(st.floats(-30, 30), st.floats(1.01, 50))
def test_wins_losses_and_ties_are_all_there_is(difference: float, k: float) -> None:
    win, loss, tie = losses.rao_kupper(one(difference), k).exp()[0].tolist()
    assert win + loss + tie == pytest.approx(1)
    other = losses.rao_kupper(one(-difference), k).exp()[0].tolist()
    assert [win, loss, tie] == pytest.approx([other[1], other[0], other[2]])


def test_gaussian_scores_are_what_many_draws_say_and_with_no_spread_bradley_terry() -> None:
    draws = torch.randn(400_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 1.5 - 0.4
    spread = one(1.5 * 0.6), one(1.5 * 0.8)
    expected = -torch.nn.functional.logsigmoid(draws).mean()
    assert losses.gaussian_scores(one(0.6), one(1.0), *spread).item() == pytest.approx(expected.item(), abs=5e-3)
    certain = losses.gaussian_scores(one(0.6), one(1.0), one(0.0), one(0.0))
    assert certain.item() == pytest.approx(losses.bradley_terry(one(0.6), one(1.0)).item())


def softplus_of_a_gaussian(mean: float, spread: float) -> float:
    """E[-log sigmoid(z)] by a sum over a fine grid, in double precision."""
    step = min(spread, 1.0) / 200
    z = torch.arange(mean - 12 * spread, mean + 12 * spread, step, dtype=torch.float64)
    density = torch.distributions.Normal(mean, spread).log_prob(z).exp()
    return float((density * -torch.nn.functional.logsigmoid(z)).sum() * step)


def log_sigmoid_of_a_gaussian(mean: float, spread: float) -> float:
    """-log E[sigmoid(z)], likewise; the grid also reaches as far below as e^z lifts the density."""
    step = min(spread, 1.0) / 200
    z = torch.arange(mean - 12 * spread, mean + spread**2 + 12 * spread, step, dtype=torch.float64)
    log_density = torch.distributions.Normal(mean, spread).log_prob(z)
    return -float((log_density + torch.nn.functional.logsigmoid(z)).logsumexp(0) + math.log(step))


@pytest.mark.parametrize(
    ("difference", "spread"),
    [(0.0, 20.0), (3.0, 10.0), (-110.0, 5.0), (-110.0, 0.5), (-300.0, 20.0), (0.4, 0.05), (30.0, 5.0), (10.0, 100.0)],
)
def test_gaussian_scores_are_right_to_a_thousandth(difference: float, spread: float) -> None:
    for dtype in (torch.float32, torch.float64):
        scores = torch.tensor([difference], dtype=dtype), torch.zeros(1, dtype=dtype)
        spreads = torch.tensor([0.6 * spread], dtype=dtype), torch.tensor([0.8 * spread], dtype=dtype)
        expected = softplus_of_a_gaussian(difference, spread)
        assert losses.gaussian_scores(*scores, *spreads).item() == pytest.approx(expected, rel=1e-3, abs=1e-3)
        expected = log_sigmoid_of_a_gaussian(difference, spread)
        assert losses.gaussian_scores(*scores, *spreads, of="probability").item() == pytest.approx(expected, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("of", ["log", "probability"])
def test_gaussian_scores_have_a_gradient_everywhere(of: Any) -> None:
    """Where the pair is hopeless, where nothing spreads, and in half precision; without spread it is Bradley and Terry's."""
    for difference, spread in ((-110.0, 0.5), (0.0, 0.0), (-3.0, 0.0), (60.0, 1.0), (1.0, 40.0)):
        given_scores = [torch.tensor([value], requires_grad=True) for value in (difference, 0.0, spread, spread)]
        loss = losses.gaussian_scores(*given_scores, of=of)
        gradients = torch.autograd.grad(loss.sum(), given_scores)
        assert loss.isfinite().all()
        assert all(one.isfinite().all() for one in gradients)
        if not spread:
            assert gradients[0].item() == pytest.approx(-1 / (1 + math.exp(difference)), rel=1e-4)
            assert gradients[2].item() == 0
    half = [torch.tensor([value], dtype=torch.float16) for value in (1.0, 0.0, 0.5, 0.5)]
    whole = losses.gaussian_scores(*(value.float() for value in half), of=of)
    assert losses.gaussian_scores(*half, of=of).item() == pytest.approx(whole.item())


def test_gradients_of_gaussian_scores_are_those_of_finite_differences() -> None:
    for of in ("log", "probability"):
        for numbers in ((0.5, 0.0, 1.0, 2.0), (-20.0, 1.0, 3.0, 0.2), (2.0, 1.0, 30.0, 1.0)):
            arguments = [one(number).requires_grad_() for number in numbers]
            assert torch.autograd.gradcheck(lambda *given, of=of: losses.gaussian_scores(*given, of=of), arguments)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_the_noise_prior_of_half_precision_is_that_of_float32(dtype: torch.dtype) -> None:
    """65536 numbers have a squared length near 65536, which is more than float16 holds."""
    noise = torch.randn(2, 4, 128, 128, generator=torch.Generator().manual_seed(0)).to(dtype)
    prior = losses.noise_prior(noise.requires_grad_())
    assert prior.tolist() == losses.noise_prior(noise.detach().float()).tolist()
    (gradient,) = torch.autograd.grad(prior.sum(), noise)
    assert gradient.isfinite().all()


def test_distillation_is_zero_for_equal_preferences_and_teaches_the_student_alone() -> None:
    expert = one(0.1, 0.9, -0.3)[None].requires_grad_()
    student = (expert.detach() + 5).requires_grad_()
    assert losses.distill_preference(expert, student).item() == pytest.approx(0, abs=1e-12), "a constant changes no preference"
    other = one(0.9, 0.1, 0.0)[None].requires_grad_()
    loss = losses.distill_preference(expert, other, temperature=0.5)
    p, q = (torch.softmax(scores.detach() / 0.5, dim=1) for scores in (expert, other))
    assert loss.item() == pytest.approx((p * (p / q).log()).sum().item())
    loss.sum().backward()
    assert expert.grad is None
    assert other.grad is not None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(-100, 100)), min_size=1, max_size=60), st.integers(1, 7))
def test_the_running_norm_is_that_of_all_that_was_seen(rewards: list[tuple[str, float]], batch: int) -> None:
    norm = losses.PerPromptRunningNorm(least=2)
    for start in range(0, len(rewards), batch):
        part = rewards[start : start + batch]
        got = norm([prompt for prompt, _ in part], one(*(value for _, value in part)))
        seen = rewards[: start + len(part)]
        for (prompt, value), standardised in zip(part, got.tolist(), strict=True):
            own = [other for name, other in seen if name == prompt]
            known = one(*(own if len(own) >= 2 else [other for _, other in seen]))
            expected = (value - known.mean()) / (known.std(correction=0) + 1e-8)
            assert standardised == pytest.approx(expected.item(), rel=1e-4, abs=1e-4) or known.std(correction=0) < 1e-6


def test_rewards_that_are_all_equal_say_nothing() -> None:
    norm = losses.PerPromptRunningNorm()
    assert norm(["a", "a"], one(3.0, 3.0)).tolist() == [0, 0]
    with pytest.raises(ValueError, match="shorter|longer"):
        norm(["a"], one(1.0, 2.0))


def test_a_bundle_needs_rewards_that_have_a_term() -> None:
    with pytest.raises(ValueError, match="at least one"):
        losses.reno({})
    with pytest.raises(ValueError, match="no term for 'signal', but for hpsv2-1, imagereward"):
        losses.reno({"signal": one(1.0)})
    for loss in (losses.contrastive_margin, losses.bradley_terry, losses.answers_as_asked):
        with pytest.raises(ValueError, match=r"one score for each sample, not \(1,\) and \(2,\)"):
            loss(torch.ones(2), torch.ones(1))


# Use.


def test_the_tables_name_cards_that_ship() -> None:
    assert {*losses.RENO, *losses.ALIGNPROP} <= set(shipped_cards())


def test_a_loss_over_a_scorer_reaches_the_pixels(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    rater = load_rater(tiny_card("pickscore", tmp_path))
    assert isinstance(rater, NetworkRater)
    pixels = torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(0)).requires_grad_()
    own = rater.score_tensor(pixels, ["a cat", "a dog"])
    other = rater.score_tensor(pixels, ["a dog", "a cat"])
    for loss in (losses.reno({"pickscore": own}), losses.contrastive_margin(own, other, target=100.0)):
        assert loss.shape == (2,)
        (gradient,) = torch.autograd.grad(loss.sum(), pixels, retain_graph=True)
        assert gradient.norm() > 0


def critic(folder: Path, name: str, question: str) -> Any:
    """A scorer that gives the log-odds of yes to a question about an edit; all in a folder share one network."""
    card = yaml.safe_load((folder / "yes-probability.yaml").read_text())
    card["args"] |= {"reading": "logodds", "pictures": ["source", "response"], "question": question}
    card |= {"name": name, "takes": {"response": "image", "prompt": "required", "conditions": ["source"]}}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(card))
    return load_rater(load_card(str(folder / f"{name}.yaml")))


def test_np_edit_is_one_line_over_two_scorers(tmp_path: Path) -> None:
    """Its gradient at the pixels is that of finite differences, and following it makes the answers those that are wanted."""
    pytest.importorskip("transformers")
    tiny_card("yes-probability", tmp_path)
    followed = critic(tmp_path, "followed", 'Was "{text_prompt}" carried out? Yes or no.')
    preserved = critic(tmp_path, "preserved", 'Is the rest as it was, but for "{text_prompt}"? Yes or no.')
    source, edited = torch.rand(2, 2, 3, 56, 84, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.05
    edits = ["make it a cat", "add a dog"]

    def loss(pixels: torch.Tensor) -> torch.Tensor:
        return losses.answers_as_asked(*(one.score_tensor(pixels, edits, source=source) for one in (followed, preserved)))

    assert loss(edited).shape == (2,)
    (gradient,) = torch.autograd.grad(loss(edited.requires_grad_()).sum(), edited)
    step = 1e-2 * gradient / gradient.norm()
    with torch.no_grad():
        rise = loss(edited + step).sum() - loss(edited - step).sum()
        after = loss((edited - 0.05 * gradient.sign()).clamp(0, 1))
    assert float(rise / 2) == pytest.approx(float(1e-2 * gradient.norm()), rel=0.01)
    assert (after < loss(edited)).all()
