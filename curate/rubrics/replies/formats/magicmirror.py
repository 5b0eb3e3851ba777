r"""MagicMirror's taxonomy of faults in generated pictures (wj-inf/MagicMirror, arXiv 2509.10260): thoughts, then a boxed object.

    \boxed{{"Whether Normal": false, "Type of Deformity": {"L2: Abnormal Human Anatomy": ["L3: Hand Structure Deformity"]}}}

A kind of fault has a list of its sub-kinds, or `true` where there are none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curate.rubrics.replies.base import Outputs, Unreadable, shown
from curate.rubrics.replies.formats.parts import Plain, as_json, field, one_object
from curate.rubrics.replies.locating import located, without_thoughts

TAXONOMY: Mapping[str, tuple[str, ...]] = {
    "Irrational Element Attributes": (
        "Abnormal Material Texture",
        "Abnormal Detail Drawing",
        "Abnormal Element Proportion",
        "Abnormal Color Combination",
    ),
    "Irrational Element Interaction": (
        "Abnormal Light and Shadow Effect",
        "Abnormal Element Overlap",
        "Abnormal Spatial Position",
    ),
    "Abnormal Human Anatomy": (
        "Limb Structure Deformity",
        "Trunk Structure Deformity",
        "Hand Structure Deformity",
        "Foot Structure Deformity",
        "Facial Structure Deformity",
        "Abnormal Human Anatomy",
        "Abnormal and Uncoordinated Posture",
    ),
    "Abnormal Animal Anatomy": (
        "Abnormal Limb Structure",
        "Abnormal Posture Presentation",
        "Abnormal Head Structure",
    ),
    "Abnormal Object Morphology": (),
    "Other Irrationalities": (),
}
"""Sub-kinds by kind of fault."""

Faults = dict[str, tuple[str, ...]]
"""Sub-kinds found, by kind; none for a kind that has none."""

_NORMAL = "Whether Normal"

_KINDS = ("Type of Deformity", "Type of Abnormality")
"""The key of the faults; the judge was trained with the first and has seen the second in its examples."""


class MagicMirror(Plain):
    """`magicmirror`: `normal` (1 or 0), `faults` (how many), `findings` (sub-kinds by kind, as JSON).

    A fault is a sub-kind, or a kind that has none. Kinds that are not in the taxonomy make a reply unreadable, and so do faults
    of a normal picture, and a picture that is not normal without one.
    """

    texts = ("findings",)
    outputs = ("normal", "faults", "findings")

    def read(self, text: str) -> Outputs:
        """See `Format`."""
        faults = read_faults(text)
        count = sum(len(sub_kinds) or 1 for sub_kinds in faults.values())
        return {"normal": float(not faults), "faults": float(count), "findings": as_json(faults)}


def read_faults(text: str) -> Faults:
    """The faults that a reply names, none for a normal picture; raises `Unreadable`."""
    one = one_object(located(without_thoughts(text), "boxed"))
    normal = field(one, _NORMAL)
    if not isinstance(normal, bool):
        raise Unreadable("wrong_type", f"{_NORMAL!r} is {shown(str(normal))}, neither true nor false")
    if extra := sorted(set(one) - {_NORMAL, *_KINDS}):
        raise Unreadable("wrong_format", f"{shown(extra[0])} is no key of the answer")
    if normal:
        if any(one[key] not in ({}, [], None) for key in _KINDS if key in one):
            raise Unreadable("inconsistent", "a normal picture has faults")
        return {}
    kinds = field(one, *_KINDS)
    if not isinstance(kinds, Mapping):
        raise Unreadable("wrong_type", f"{_KINDS[0]!r} is no object")
    if not kinds:
        raise Unreadable("inconsistent", "a picture that is not normal has no fault")
    faults: Faults = {}
    for written, listed in kinds.items():
        kind = _known(written, "L2:", TAXONOMY)
        if kind in faults:
            raise Unreadable("ambiguous", f"{kind!r} stands twice")
        faults[kind] = _sub_kinds(kind, listed)
    return faults


def _sub_kinds(kind: str, listed: Any) -> tuple[str, ...]:
    if not TAXONOMY[kind]:
        if listed is not True and listed != []:
            raise Unreadable("wrong_format", f"{kind!r} has no sub-kinds, and {shown(str(listed))} stands there")
        return ()
    if not isinstance(listed, list) or not listed:
        raise Unreadable("wrong_format", f"{kind!r} has no list of sub-kinds")
    return tuple(dict.fromkeys(_known(one, "L3:", TAXONOMY[kind]) for one in listed))


def _known(written: Any, mark: str, names: Mapping[str, Any] | tuple[str, ...]) -> str:
    """The name in the taxonomy that is written, with or without the mark of its level."""
    said = " ".join(written.strip().removeprefix(mark).split()).casefold() if isinstance(written, str) else None
    for name in names:
        if name.casefold() == said:
            return name
    raise Unreadable("no_choice", f"{shown(str(written))} is not in the taxonomy")
