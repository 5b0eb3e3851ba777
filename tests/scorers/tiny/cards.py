"""A shipped card with tiny random weights in place of its own: everything else of it, and the loading code, are the real ones.

Every module beside this one holds `TINY`: for names of cards, what makes their weights.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from curate.cards import CardFile, load_card, shipped_cards


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a tiny card says in place of the shipped one."""

    weights: Mapping[str, Mapping[str, str]]
    """By role; paths relative to the folder."""
    args: Mapping[str, Any] = field(default_factory=dict)
    """Merged into those of the shipped card, mappings field by field."""


Maker = Callable[[Path], Made]


@cache
def makers() -> dict[str, Maker]:
    """For every card that has a network, what makes its tiny weights in a folder."""
    found: dict[str, Maker] = {}
    defaults: dict[str, Callable[[Mapping[str, Any]], Maker]] = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        module = importlib.import_module(f"tests.scorers.tiny.{path.stem}")
        found.update(getattr(module, "TINY", {}))
        defaults.update(getattr(module, "DEFAULTS", {}))
    for name, file in shipped_cards().items():
        # One more card of an engine that is there needs no code, here neither.
        if name not in found and file.card.target in defaults:
            found[name] = defaults[file.card.target](file.card.args)
    return found


def tiny_card(name: str, folder: Path, **args: Any) -> CardFile:
    """The shipped card `name` over tiny weights made in `folder`; `args` are merged in last."""
    made = makers()[name](folder)
    shipped = yaml.safe_load(Path(shipped_cards()[name].where).read_text())
    shipped["weights"] = {role: dict(one) for role, one in made.weights.items()}
    shipped["args"] = merged(merged(shipped.get("args", {}), made.args), args)
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(shipped))
    return load_card(str(path))


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`below` with the fields of `above`, mappings field by field."""
    both = {name: merged(below[name], value) for name, value in above.items() if _both_map(below.get(name), value)}
    return {**below, **above, **both}


def _both_map(one: object, other: object) -> bool:
    return isinstance(one, Mapping) and isinstance(other, Mapping)
