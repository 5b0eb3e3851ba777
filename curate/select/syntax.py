"""What an expression is made of, as a tree. Chains of one precedence are flat, so long ones are not deep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Operator = Literal["+", "-", "*", "/"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A part of an expression, and the characters it was written with."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant(Node):
    """A number, a text, true, false or null."""

    value: float | str | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NamePart:
    """One part of a dotted name."""

    text: str
    quoted: bool
    """A quoted part is taken literally; in a bare one `_` may stand for a dash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Name(Node):
    """`prompt`, `pickscore`, `edit_score.overall`, `pickscore.status` …"""

    parts: tuple[NamePart, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic(Node):
    """`first op operand op operand …`, from left to right; operators of one precedence."""

    first: Node
    rest: Sequence[tuple[Operator, Node]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Negative(Node):
    """`-operand`."""

    operand: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Logic(Node):
    """Two or more operands joined by the same word."""

    word: Literal["and", "or"]
    operands: Sequence[Node]


@dataclass(frozen=True, slots=True, kw_only=True)
class Not(Node):
    """`not operand`."""

    operand: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare(Node):
    """`left op right`."""

    left: Node
    operator: Literal["=", "!=", "<", "<=", ">", ">="]
    right: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Between(Node):
    """`operand [not] between low and high`, both ends included."""

    operand: Node
    low: Node
    high: Node
    negated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class In(Node):
    """`operand [not] in (item, …)`."""

    operand: Node
    items: Sequence[Node]
    negated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class IsNull(Node):
    """`operand is [not] null`."""

    operand: Node
    negated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Like(Node):
    """`operand [not] like pattern`; `ilike` looks past capitals."""

    operand: Node
    pattern: Node
    negated: bool
    ignore_case: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Case(Node):
    """`case when condition then result … [else otherwise] end`."""

    branches: Sequence[tuple[Node, Node]]
    otherwise: Node | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Node):
    """`function(argument, …)`."""

    function: str
    arguments: Sequence[Node]
