"""Losses of the papers over scores: what trains a generator through a reward, and what trains a reward from preferences.

Scores come from `score_tensor`, which lets gradients through to the pixels, so a paper's objective is one line:

    pickscore = curate.scorer("pickscore")
    loss = reno({"pickscore": pickscore.score_tensor(pixels, prompts)}).mean()

Every function gives one number for each sample, to be averaged or weighted by the caller; larger scores are better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import logsigmoid, relu

PerSample = Float[Tensor, " batch"]


def _precise(numbers: Tensor) -> Tensor:
    """Half precision, which ends at 65504, as float32."""
    return numbers.to(torch.promote_types(numbers.dtype, torch.float32))


def _check_alike(*scores: Tensor) -> None:
    """Raise `ValueError` where scores of the same samples differ in number: torch would spread the smaller tensor."""
    if len(shapes := {tuple(one.shape) for one in scores}) > 1:
        raise ValueError(f"there is one score for each sample, not {' and '.join(map(str, sorted(shapes)))}")


# Through the pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """A reward as a loss: weight * (offset - scale * score)."""

    offset: float
    weight: float
    scale: float = 1.0
    """Brings the card's score to the scale the paper uses."""


RENO: Mapping[str, Term] = {
    "hpsv2-1": Term(offset=1, weight=5.0),
    "imagereward": Term(offset=2, weight=1.0),
    "clip-h14": Term(offset=100, weight=0.01, scale=100),
    "pickscore": Term(offset=30, weight=0.05),
    "laion-aesthetic-v2": Term(offset=10, weight=0.0),
}
"""By name of the card. Eyring et al., ReNO: Enhancing One-step Text-to-Image Models through Reward-based Noise Optimization,
2024, with the weights of ExplainableML/ReNO, where the aesthetic term is off. The card's CLIP score is a cosine, ReNO's a hundred
times that."""


def reno(scores: Mapping[str, PerSample], terms: Mapping[str, Term] = RENO) -> PerSample:
    """ReNO's bundle of rewards, by name of the card; rewards that are not given take no part.

    Raises `ValueError` for a reward that has no term, and where none is given.
    """
    if not scores:
        raise ValueError("give at least one reward")
    if strange := [name for name in scores if name not in terms]:
        raise ValueError(f"there is no term for '{strange[0]}', but for {', '.join(terms)}")
    _check_alike(*scores.values())
    losses = [terms[name].weight * (terms[name].offset - terms[name].scale * score) for name, score in scores.items()]
    return torch.stack(losses).sum(dim=0)


def noise_prior(noise: Float[Tensor, "batch ..."], weight: float = 0.01) -> PerSample:
    """ReNO's pull of the noise to lengths that Gaussian noise has: weight * (|z|²/2 - (d - 1) log |z|), d its numbers.

    It is the negative logarithm of the density of such a vector's length, but for a constant. In float32 at least: half
    precision holds no squared length of the noise of a picture.
    """
    flat = _precise(noise).flatten(start_dim=1)
    # Noise of length zero has no logarithm and no direction; it is pulled nowhere.
    square = flat.square().sum(dim=1).clamp(min=torch.finfo(flat.dtype).tiny)
    return weight * (square / 2 - (flat.shape[1] - 1) * square.log() / 2)


ALIGNPROP: Mapping[str, float] = {"laion-aesthetic-v2": 10.0, "hpsv2-1": 1.0}
"""By name of the card, the score that is aimed at. Prabhudesai et al., Aligning Text-to-Image Diffusion Models with Reward
Backpropagation, 2023; the shapes have not been compared with the authors' code."""


def distance_to(scores: PerSample, target: float) -> PerSample:
    """AlignProp's shape: how far a score is from the one aimed at, |target - s|."""
    return (target - scores).abs()


def contrastive_margin(matching: PerSample, mismatched: PerSample, target: float = 16.0) -> PerSample:
    """MLCM's margin: max(target - s(x, own prompt), 0) + max(s(x, unrelated prompt), 0), with MPS as s.

    It raises the score of the own prompt up to the target, and lets no prompt at all be scored well. Raises `ValueError` where
    there is not one score of each kind for each sample. Xie et al., MLCM: Multistep Consistency Distillation of Latent Diffusion
    Model, 2024.
    """
    _check_alike(matching, mismatched)
    return relu(target - matching) + relu(mismatched)


def answers_as_asked(*log_odds: PerSample) -> PerSample:
    """NP-Edit's critic: - sum over questions of log sigmoid(logit of the wanted answer - logit of the other one).

    The logits are a VLM's for "yes" and "no" at the first token of its answer. Their differences, one tensor for each question,
    are what cards with `reading: logodds` give, whose first label is the wanted answer. Raises `ValueError` where no question is
    given. Kumari et al., Learning an Image Editing Model without Image Editing Pairs, 2025.
    """
    if not log_odds:
        raise ValueError("give the log-odds of at least one question")
    _check_alike(*log_odds)
    return -torch.stack([logsigmoid(one) for one in log_odds]).sum(dim=0)


# From preferences


def bradley_terry(better: PerSample, worse: PerSample, margin: float = 0.0) -> PerSample:
    """-log sigmoid(s_w - s_l - margin). A margin of 0.57 is an option of TIGER-AI-Lab/EditReward, for its own scores.

    Raises `ValueError` where there is not one of each for each pair.
    """
    _check_alike(better, worse)
    return -logsigmoid(better - worse - margin)


Outcome = Int[Tensor, " batch"]
"""0 where the first won, 1 where it lost, 2 for a tie."""


def rao_kupper(difference: PerSample, k: float = 5.0) -> Float[Tensor, "batch 3"]:
    """Logarithms of the probabilities that the first wins, loses, and ties, given the difference of the scores.

    P(win) = sigmoid(d - log k), P(loss) = sigmoid(-d - log k), P(tie) = P(win) P(loss) (k² - 1), which sum to 1. Rao and Kupper,
    Ties in Paired-Comparison Experiments, 1967; k = 5 as in TIGER-AI-Lab/EditReward. k is above 1: at 1 there are no ties.
    """
    if k <= 1:
        raise ValueError(f"k is above 1, not {k}")
    win, loss = logsigmoid(difference - math.log(k)), logsigmoid(-difference - math.log(k))
    return torch.stack([win, loss, win + loss + math.log(k * k - 1)], dim=1)


def with_ties(difference: PerSample, outcome: Outcome, k: float = 5.0) -> PerSample:
    """Minus the log probability of what the annotator said, by `rao_kupper`."""
    return -rao_kupper(difference, k).gather(1, outcome[:, None])[:, 0]


_DEVIATIONS = 8.0
"""Outside of so many, a Gaussian has less than 1e-15."""


def gaussian_scores(
    better: PerSample,
    worse: PerSample,
    better_spread: PerSample,
    worse_spread: PerSample,
    *,
    of: Literal["log", "probability"] = "log",
    points: int = 512,
) -> PerSample:
    """The loss of scores that are Gaussians, z ~ N(s_w - s_l, spread_w² + spread_l²), in float32 at least.

    `log` is E[-log sigmoid(z)], the loss of HPSv3 (Ma et al., 2025) and EditReward, which estimate it by 1000 draws;
    `probability` is -log E[sigmoid(z)], which is another number. Both are integrated by the trapezoid rule over 16 deviations:
    the same expectation, without chance, to 1e-3 where z spreads by no more than 100. Twice the `points` reach twice as far.
    """
    mean = _precise(better - worse)
    # Two spreads of zero have a length of zero, whose gradient is 0, where that of a square root is none.
    spread = torch.linalg.vector_norm(torch.stack([_precise(better_spread), _precise(worse_spread)]), dim=0)
    nodes = torch.linspace(-_DEVIATIONS, _DEVIATIONS, points, device=mean.device, dtype=mean.dtype)
    shares = math.log(2 * _DEVIATIONS / (points - 1) / math.sqrt(2 * math.pi))
    expected: Tensor
    if of == "log":
        z = mean[:, None] + spread[:, None] * nodes
        expected = ((shares - nodes.square() / 2).exp() * logsigmoid(z)).sum(dim=1)
    else:
        # Of a z that is almost never above zero, sigmoid(z) lives far out, by its deviation at most: the nodes go there.
        away = (-mean / spread.clamp(min=torch.finfo(spread.dtype).eps)).detach().clamp(min=0).minimum(spread.detach())[:, None]
        z = mean[:, None] + spread[:, None] * (nodes + away)
        expected = (shares - (nodes + away).square() / 2 + logsigmoid(z)).logsumexp(dim=1)
    return -expected


def regression(scores: PerSample, labels: PerSample, centre: float = 4.5) -> PerSample:
    """(s - (label - centre))²: scores learn people's marks around zero. 4.5 is an option of TIGER-AI-Lab/EditReward."""
    return (scores - (labels - centre)).square()


def triplet(
    text: Float[Tensor, "batch width"],
    positive: Float[Tensor, "batch width"],
    negative: Float[Tensor, "batch width"],
    margin: float = 0.3,
) -> PerSample:
    """max(0, |t - p|² - |t - n|² + margin) over L2-normalised embeddings; Social Reward (Isajanyan et al., 2024)."""
    near, far = ((text - one).square().sum(dim=1) for one in (positive, negative))
    return relu(near - far + margin)


def distill_preference(
    expert: Float[Tensor, "batch candidates"], student: Float[Tensor, "batch candidates"], temperature: float = 1.0
) -> PerSample:
    """KL(softmax(expert / t) ‖ softmax(student / t)) over the candidates of a prompt; the expert gets no gradient.

    Teaches a small reward, such as one on latents, the preferences of a large one. Li et al., Reward Guided Latent Consistency
    Distillation, 2024.
    """
    known, learned = (one.div(temperature).log_softmax(dim=1) for one in (expert.detach(), student))
    return (known.exp() * (known - learned)).sum(dim=1)


# Over a training run


class PerPromptRunningNorm:
    """Standardises rewards prompt by prompt with the mean and deviation of all that was seen of the prompt so far.

    Oertell et al., RL for Consistency Models, 2024: a hard prompt's rewards are then not all below an easy one's. A prompt that
    was seen fewer than `least` times is standardised by all rewards together. Holds three numbers for each prompt.
    """

    def __init__(self, least: int = 2, epsilon: float = 1e-8) -> None:
        self._least = max(least, 2)
        self._epsilon = epsilon
        self._all = _Running()
        self._prompts: dict[str, _Running] = {}

    def __call__(self, prompts: Sequence[str], rewards: PerSample) -> PerSample:
        """The rewards, standardised, these ones counted in; zero where all that was seen is equal. Raises `ValueError` where
        there is not one reward for each prompt."""
        values = rewards.detach().double().tolist()
        for prompt, value in zip(prompts, values, strict=True):
            self._all.add(value)
            self._prompts.setdefault(prompt, _Running()).add(value)
        known = [self._prompts[prompt] for prompt in prompts]
        used = [one if one.count >= self._least else self._all for one in known]
        mean, deviation = (torch.tensor([getattr(one, name) for one in used]).to(rewards) for name in ("mean", "deviation"))
        return (rewards - mean) / (deviation + self._epsilon)


@dataclass(slots=True)
class _Running:
    """Mean and spread of numbers that come one by one (Welford)."""

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of squared distances from the mean."""

    def add(self, value: float) -> None:
        self.count += 1
        before = value - self.mean
        self.mean += before / self.count
        self.squares += before * (value - self.mean)

    @property
    def deviation(self) -> float:
        """Of the population."""
        return math.sqrt(self.squares / self.count) if self.count else 0.0
