"""Scores of cards on the CPU and on a device elsewhere, as a line of JSON for each card.

    python -m tests.scorers.elsewhere_scores FOLDER NAME...

The process has that device from its beginning to its end, which is why it is one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from curate.rater_loading import load_rater
from curate.rater_settings import Settings
from curate.scorers.network import NetworkRater
from tests.scorers.elsewhere import ELSEWHERE, There, a_device_elsewhere
from tests.scorers.tiny.cards import tiny_card

PROMPTS = ["a cat", "a cup of coffee, with a very long prompt behind it", "a cat"]


def main(folder: Path, names: list[str]) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (len(PROMPTS), 64, 64, 3), dtype=np.uint8)
    with (
        mock.patch("curate.scorers.device_batches.pick_device", torch.device),
        mock.patch("curate.scorers.vlm.answering.pick_device", torch.device),
        a_device_elsewhere(),
    ):
        _say(_what_the_device_does())
        for name in names:
            (folder / name).mkdir()
            found: dict[str, object] = {"name": name}
            card = tiny_card(name, folder / name)
            for place in ("cpu", str(ELSEWHERE)):
                try:
                    rater = load_rater(card, Settings(device=place))
                    assert isinstance(rater, NetworkRater)
                    found[place] = _scores(rater, pictures)
                except Exception as problem:  # one card's is not the next one's
                    found[place] = f"{type(problem).__name__}: {problem}"[:1000]
            _say(found)


def _say(found: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


def _what_the_device_does() -> dict[str, object]:
    """Whether it is one: else the rest would show nothing."""
    there = torch.arange(3.0, device=ELSEWHERE)
    try:
        refused = str(there + torch.ones(3))
    except RuntimeError as problem:
        refused = str(problem)
    return {"there": isinstance(there + 1, There), "sum": (there + 1).sum().item(), "mixed": refused}


def _scores(rater: NetworkRater, pictures: np.ndarray) -> dict[str, object]:
    """By both doors, as far as the rater has them; the second one with its gradient."""
    conditions = {role: [picture[::-1] for picture in pictures] for role in rater.card.takes.conditions}
    found: dict[str, object] = {}
    if rater.card.takes.response == "image":
        found["score"] = rater.score(list(pictures), PROMPTS, **conditions).tolist()
    if rater.differentiable:
        pixels = _pixels(pictures)
        shown = pixels[:, None].repeat(1, 4, 1, 1, 1) if rater.card.takes.response == "video" else pixels
        through = rater.score_tensor(
            shown.requires_grad_(), PROMPTS, **{role: _pixels(np.stack(many)) for role, many in conditions.items()}
        )
        assert through.device == rater.device, through.device
        (gradient,) = torch.autograd.grad(through.sum(), shown)
        found["score_tensor"], found["gradient"] = through.tolist(), float(gradient.norm())
    return found


def _pixels(pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pictures).movedim(-1, 1) / 255


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
