"""Arithmetic over what was read: the `values` of a card, from names such as `call.field` and `call.field[0]`.

A bare name is a value that stands further up. There are numbers, `+ - * /`, a minus in front, and the functions of `FUNCTIONS`;
nothing else is an expression. A text is read as Python writes it, checked node by node against what is allowed, and worked out
here: no code runs.

`min`, `max`, `mean`, `sum` and `std` (of a sample: divided by n - 1) take several numbers, or one list of them.
"""

from __future__ import annotations

import ast
import math
import statistics
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence

from curate.errors import CardError, nearest
from curate.records import Status
from curate.rubrics.case import NoJudgementError
from curate.rubrics.replies.base import Output

LONGEST = 500
"""Characters of an expression."""

DEEPEST = 20
"""Levels of nesting."""


def _clip(number: float, least: float, most: float) -> float:
    return min(max(number, least), most)


_OF_ONE: dict[str, Callable[[float], float]] = {"sqrt": math.sqrt, "exp": math.exp, "log": math.log, "abs": abs}

_OF_MANY: dict[str, Callable[[Sequence[float]], float]] = {
    "min": min,
    "max": max,
    "sum": math.fsum,
    "mean": statistics.fmean,
    "std": statistics.stdev,
}

FUNCTIONS = (*_OF_ONE, *_OF_MANY, "clip")
"""What an expression may call: `clip(number, least, most)`, and the rest by their names."""

_OPERATIONS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: lambda left, right: left + right,
    ast.Sub: lambda left, right: left - right,
    ast.Mult: lambda left, right: left * right,
    ast.Div: lambda left, right: left / right,
}

Given = Mapping[str, Mapping[str, Output]]
"""What was read: by call, by output."""


class Expression:
    """One expression, checked."""

    def __init__(self, text: str, known: Mapping[str, Mapping[str, int]], values: Collection[str] = (), *, where: str) -> None:
        """`known` says of each output of each call how many numbers it is: 0 for a single one, -1 for a text.

        `values` are bare names that it may use. Raises `CardError`, which begins with `where`, for what is no expression and for
        names that are not known.
        """
        self._where = where
        self._text = text.strip()
        self._known = known
        self._values = values
        self.outputs: set[tuple[str, str]] = set()
        """What it takes: a call, and one of its outputs."""
        self.uses: set[str] = set()
        """The bare names in it."""
        if len(text) > LONGEST:
            raise self._wrong(f"it has more than {LONGEST} characters")
        try:
            with warnings.catch_warnings(action="ignore"):  # of Python, about code that is none here
                self._root = ast.parse(self._text, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise self._wrong("it is no arithmetic") from None
        if self._check(self._root, 0):
            raise self._wrong("it is several numbers and not one; take one of them, or their mean")

    def __call__(self, given: Given, values: Mapping[str, float] | None = None) -> float:
        """The value; raises `NoJudgementError` with the status `nan` where it is none: a division by zero, a root of less."""
        try:
            value = self._number(self._root, given, values or {})
        except (ArithmeticError, ValueError) as problem:
            raise NoJudgementError(Status.NAN, f"arithmetic: {self._text}: {problem}") from problem
        if not math.isfinite(value):
            raise NoJudgementError(Status.NAN, f"arithmetic: {self._text} is {value}")
        return value

    @property
    def calls(self) -> frozenset[str]:
        """Whose outputs it takes."""
        return frozenset(call for call, _ in self.outputs)

    def _source(self, node: ast.expr) -> str:
        return (ast.get_source_segment(self._text, node) or self._text)[:40]

    def _wrong(self, why: str) -> CardError:
        return CardError(f"{self._where}: '{self._text[:80]}': {why}")

    def _check(self, node: ast.expr, depth: int) -> int:
        """How many numbers a node gives, 0 for a single one; raises `CardError` for all that is not arithmetic."""
        if depth > DEEPEST:
            raise self._wrong(f"it is nested more than {DEEPEST} deep")
        match node:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool) and abs(number) < 1e300:
                return 0
            case ast.Name(id=name):
                return self._check_name(name)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                self._check_single(operand, depth)
                return 0
            case ast.BinOp(left=left, op=operation, right=right) if type(operation) in _OPERATIONS:
                self._check_single(left, depth)
                self._check_single(right, depth)
                return 0
            case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
                self._check_call(name, arguments, depth)
                return 0
            case ast.Subscript(value=ast.Attribute() as output, slice=ast.Constant(value=int(position))):
                count = self._count(output)
                if isinstance(position, bool) or not 0 <= position < count:
                    raise self._wrong(f"{self._source(output)} has no number [{position}]")
                return 0
            case ast.Attribute():
                return self._count(node)
        raise self._wrong(f"'{self._source(node)}' is not allowed: names are call.output, functions {', '.join(FUNCTIONS)}")

    def _check_single(self, node: ast.expr, depth: int) -> None:
        if self._check(node, depth + 1):
            raise self._wrong(f"{self._source(node)} is several numbers; take one of them, or their mean")

    def _check_name(self, name: str) -> int:
        if name not in self._values:
            raise self._wrong(f"no value further up is called '{name}'. {nearest(name, self._values)}".rstrip())
        self.uses.add(name)
        return 0

    def _check_call(self, name: str, arguments: Sequence[ast.expr], depth: int) -> None:
        counts = [self._check(argument, depth + 1) for argument in arguments]
        if name in _OF_MANY:
            fits = (len(counts) == 1 and counts[0] > 0) or (len(counts) > 1 and not any(counts))
            wanted = "one list of numbers, or several numbers"
        else:
            wanted = "three numbers" if name == "clip" else "one number"
            fits = len(counts) == (3 if name == "clip" else 1) and not any(counts)
        if not fits:
            raise self._wrong(f"{name}() takes {wanted}")

    def _count(self, node: ast.Attribute) -> int:
        """How many numbers an output is."""
        if not isinstance(node.value, ast.Name):
            raise self._wrong(f"'{self._source(node)}' is not the output of a call")
        call, output = node.value.id, node.attr
        if call not in self._known:
            raise self._wrong(f"there is no call '{call}'. {nearest(call, self._known)}".rstrip())
        outputs = self._known[call]
        if output not in outputs:
            raise self._wrong(f"the call '{call}' gives no '{output}'. {nearest(output, outputs)}".rstrip())
        if outputs[output] < 0:
            raise self._wrong(f"{call}.{output} is a text")
        self.outputs.add((call, output))
        return outputs[output]

    def _number(self, node: ast.expr, given: Given, values: Mapping[str, float]) -> float:
        return _single(self._value(node, given, values))

    def _value(self, node: ast.expr, given: Given, values: Mapping[str, float]) -> Output:
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Name(id=name):
                return values[name]
            case ast.UnaryOp(operand=operand):
                return -self._number(operand, given, values)
            case ast.BinOp(left=left, op=operation, right=right):
                return _OPERATIONS[type(operation)](self._number(left, given, values), self._number(right, given, values))
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return _called(name, [self._value(argument, given, values) for argument in arguments])
            case ast.Subscript(value=ast.Attribute() as output, slice=ast.Constant(value=int(position))):
                return _several(self._value(output, given, values))[position]
            case ast.Attribute(value=ast.Name(id=call), attr=name):
                return given[call][name]
        raise AssertionError(f"{ast.dump(node)} was checked")


def _called(name: str, values: Sequence[Output]) -> float:
    if name in _OF_MANY:
        return _OF_MANY[name](_several(values[0]) if len(values) == 1 else [_single(value) for value in values])
    numbers = [_single(value) for value in values]
    return _clip(*numbers) if name == "clip" else _OF_ONE[name](*numbers)


def _single(value: Output) -> float:
    if isinstance(value, tuple | str):  # a format may give a text where a card takes a number
        raise ValueError("several numbers stand where one is needed")
    return value


def _several(value: Output) -> Sequence[float]:
    if not isinstance(value, tuple):
        raise ValueError("a single number stands where several are needed")
    return value
