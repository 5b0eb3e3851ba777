"""The methods of rubrics: what a card's `rubric` may say, and where the code is."""

from __future__ import annotations

METHODS = {
    "calls": "curate.rubrics.methods.calls:Calls",
    "checklist": "curate.rubrics.methods.checklist:Checklist",
    "pairwise": "curate.rubrics.methods.pairwise:Pairwise",
    "questions": "curate.rubrics.methods.questions:Questions",
    "frames": "curate.rubrics.methods.frames:FrameRequests",
}
"""By name: module and class. A class has `Arguments`, a model of the card's `args` (`curate.rubrics.spec.Common` and more),
and is made as `Class(arguments, file)`, which raises `CardError` where the card does not hold together."""
