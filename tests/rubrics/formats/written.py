"""One good reply in each format, and what it says."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import pytest

from curate.rubrics.replies.base import Format, Output, Unreadable
from curate.rubrics.replies.formats import FORMATS


class Written(NamedTuple):
    """A reply and what is read of it."""

    name: str
    reply: str
    says: Mapping[str, Output]
    """The numbers; texts are looked at elsewhere."""
    params: Mapping[str, Any] = {}
    copied: bool = True
    """Whether all numbers are copied from the text, and not made of words, or of several."""


def format_of(name: str, params: Mapping[str, Any] | None = None) -> Format:
    """A format as cards make it."""
    module, _, factory = FORMATS[name].partition(":")
    made: Format = getattr(import_module(module), factory)(params or {})
    return made


def read(name: str, reply: str, **params: Any) -> dict[str, Output]:
    return dict(format_of(name, params).read(reply))


def reason(name: str, reply: str, **params: Any) -> str:
    """Why a reply is unreadable."""
    with pytest.raises(Unreadable) as problem:
        format_of(name, params).read(reply)
    assert "\n" not in problem.value.detail
    return problem.value.reason


POINT = "a dog (animal): 1\nred (color): 0\ntwo (counting): 1\nthe dog runs (action): 1\nFinal Score: 7"

ACS = "Alignment Score (1-5): 2.694700002670288\nCoherence Score (1-5): 2.371500015258789\nStyle Score (1-5): 2.802500009536743\n"

WORDS = '---\n\nWord-wise Scores: [["a", 0.1], ["dog\'s", 0.25], ["[No_mistakes]", 0.9]]\n\n' + ACS

APS = "Alignment Score (1-5): 2.4036\nPhysics Score (1-5): 3.0987\nStyle Score (1-5): 3.3889"

VIDEO = (
    "visual quality: 4\ntemporal consistency: 3\ndynamic degree: 2\ntext-to-video alignment: 1\n"
    "factual consistency: 2\nFinal Score: 6"
)

SHARES = (
    "Alignment Score:\n Image 1: 0.435699999332428\n Image 2: 0.564300000667572\n\n"
    "Coherence Score:\n Image 1: 0.4180000126361847\n Image 2: 0.5820000171661377\n\n"
    "Style Score:\n Image 1: 0.40790000557899475\n Image 2: 0.5921000242233276\n"
)

THINK = (
    "<think>\n1. Semantic consistency: Image 1 (9/10) - all is there; Image 2 (7/10) - no hat\n"
    "2. Aesthetics: Image 2 (8/10) - warm; Image 1 (8/10) - warm too\n"
    "3. Authenticity: \n    Image 1 (8/10) - fine; \n    Image 2 (5/10) - six fingers\n"
    "Total score:\nImage 1: 9+8+8=25\nImage 2: 7+8+5=20\n</think>\n<answer>Image 1 is better</answer>"
)

FLEX = """```json
{"prompt": "a dog", "categories": [
  {"name": "A. Semantic Alignment & Accuracy", "dims": [
    {"name": "Subject", "reason_1": "a dog", "reason_2": "a cat", "score_1": 8, "score_2": 2},
    {"name": "Count", "reason_1": "one", "reason_2": "one", "score_1": 5, "score_2": 5}],
   "cat_reason": "only one has a dog", "cat_winner": "Image 1"},
  {"name": "B. Image Quality & Realism", "dims": [
    {"name": "Fur", "reason_1": "blurred", "reason_2": "sharp", "score_1": 3.5, "score_2": 6.5}],
   "cat_reason": "the second is sharp", "cat_winner": "Image 2"},
  {"name": "C. Aesthetics & Artistry", "dims": [
    {"name": "Colour", "reason_1": "warm", "reason_2": "cold", "score_1": 6, "score_2": 4}],
   "cat_reason": "warm", "cat_winner": "Image 1"}],
 "reason": "the dog counts", "winner": "Image 1"}
```"""

DOCTOR = (
    "<think>I need to focus on the bounding box area. Proposed regions (xyxy): 1.[10,20,200,256];\n2.[0,0,512,512]\n"
    "The hand has six fingers. Plausibility score: 0.1 would be too hard.</think>\n<answer>Semantic Alignment score: 0.85; \n"
    "Misalignment Locations: none\nAesthetic score: 0.6;\nPlausibility score: 0.25;\nArtifact Locations: the hand\n"
    "Overall Impression score: 0.5</answer>"
)

MIRROR = (
    "<think>The hand has six fingers, so it is not normal.</think>\n"
    r'\boxed{{"Whether Normal": false, "Type of Deformity": {"L2: Abnormal Human Anatomy": '
    '["L3: Hand Structure Deformity", "L3: Facial Structure Deformity"], "L2: Abnormal Object Morphology": true}}}'
)

REGIONS = (
    "**Region ID: 1**\nIdentified Object: A running dog.\nScore: 0.95\n---\n**Region ID: 2**\n"
    "Identified Object: A tree.\nScore: 0.2\n---\n**Region ID: 3**\nIdentified Object: A red shape.\nScore: -0.8\n---"
)

PERSPECTIVES = (
    '[{"Score": 4.5, "Negative Prompt": "None"}, {"Score": 3, "Negative Prompt": "the hat is gone"}, '
    "{'Score': 2.0, 'Negative Prompt': 'it\\'s blurred'}]"
)

SR1 = "<description>Two cats and a dog.</description> <think>Two and one.</think> \\boxed{3}"

THINKER = (
    "<snapshot> The second is smooth. </snapshot> <think> TA = 1 at first, but no. </think> "
    "<answer> TA = 2, MQ = 0, VQ = 1, OA = 2, CF = 2 </answer>"
)

RANKED = {"first_total": 25.0, "second_total": 20.0}

REPLIES = [
    Written("imagedoctor", DOCTOR, {"semantic_alignment": 0.85, "aesthetics": 0.6, "plausibility": 0.25, "overall": 0.5}),
    Written("letter", "B", {"p_A": 0.0, "p_B": 1.0}, {"letters": 2}, copied=False),
    Written("magicmirror", MIRROR, {"normal": 0.0, "faults": 3.0}, copied=False),
    Written("multi-reward", PERSPECTIVES, {"following": 4.5, "preserving": 3.0, "quality": 2.0}),
    Written("q-insight-comparison", "<think>B is sharp.</think><answer>Image B</answer>", {"value": 0.0}, copied=False),
    Written("q-insight-rating", '<think>Sharp.</think>\n<answer>\n{"rating": 3.25}\n</answer>', {"rating": 3.25}),
    Written(
        "q-insight-degradation",
        '<answer>{"distortion_class": "blur", "severity": "obvious"}</answer>',
        {"severity": 3.0},
        copied=False,
    ),
    Written("srum-layout", "Composition Analysis: swapped\nScore: -0.7\nReason: the cat is on the right.", {"score": -0.7}),
    Written("srum-regions", REGIONS, {"regions": 3.0, "mean": 0.35 / 3, "least": -0.8}, copied=False),
    Written(
        "unifiedreward-acs", ACS, {"alignment": 2.694700002670288, "coherence": 2.371500015258789, "style": 2.802500009536743}
    ),
    Written(
        "unifiedreward-acs",
        WORDS,
        {"alignment": 2.694700002670288, "coherence": 2.371500015258789, "style": 2.802500009536743, "no_mistakes": 0.9},
        {"words": True},
    ),
    Written("unifiedreward-aps", APS, {"alignment": 2.4036, "physics": 3.0987, "style": 3.3889}),
    Written("unifiedreward-edit", '{"reasoning": "good", "score": [20, 15.5]}', {"success": 20.0, "preservation": 15.5}),
    Written("unifiedreward-edit-pair", "Image 2 is better.", {"value": 0.0}, copied=False),
    Written(
        "unifiedreward-edit-pair",
        "Edited Image 1: -1.25\nEdited Image 2: 0.5",
        {"first": -1.25, "second": 0.5},
        {"asked": "scores"},
    ),
    Written(
        "unifiedreward-flex",
        FLEX,
        {"value": 1.0, "share": 0.5625, "semantic": 1.0, "quality": 0.0, "aesthetics": 1.0},
        copied=False,
    ),
    Written("unifiedreward-pair", "Image 1 is better than Image 2.", {"value": 1.0}, copied=False),
    Written(
        "unifiedreward-pair-score",
        SHARES,
        {"alignment": 0.435699999332428, "coherence": 0.4180000126361847, "style": 0.40790000557899475},
    ),
    Written("unifiedreward-point", POINT, {"score": 7.0, "elements": 0.75}, copied=False),
    Written("unifiedreward-point", "Final Score: 4", {"score": 4.0}, {"elements": False, "highest": 5}),
    Written("unifiedreward-think", THINK, {"value": 1.0, **RANKED}, copied=False),
    Written("unifiedreward-think", "<answer>Image 2 is better</answer>", {"value": 0.0}, {"totals": False}, copied=False),
    Written(
        "unifiedreward-video",
        VIDEO,
        {
            "visual_quality": 4.0,
            "temporal_consistency": 3.0,
            "dynamic_degree": 2.0,
            "alignment": 1.0,
            "factual_consistency": 2.0,
            "score": 6.0,
        },
    ),
    Written("vision-sr1", SR1, {}),
    Written("visualquality-r1", "<think>It is sharp.</think><answer>3.72</answer>", {"rating": 3.72}),
    Written("vr-thinker", THINKER, {"value": 0.0, "ta": 0.0, "mq": 0.5, "vq": 1.0}, copied=False),
]
