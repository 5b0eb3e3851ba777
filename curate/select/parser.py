"""From the text of an expression to its tree: a small recursive-descent parser over an allow-listed grammar.

    expression := and_part ("or" and_part)*
    and_part   := not_part ("and" not_part)*
    not_part   := "not" not_part | test
    test       := sum [op sum | ["not"] "in" (…) | ["not"] "between" sum "and" sum | ["not"] "like" sum | "is" ["not"] "null"]
    sum        := product (("+" | "-") product)*
    product    := signed (("*" | "/") signed)*
    signed     := ("-" | "+") signed | primary
    primary    := number | text | true | false | null | name | name(…) | case … end | "(" expression ")"

An own parser, and not the database's: what it does not know cannot be said at all, its positions and words are for people,
and no release of the database changes the language.
"""

from __future__ import annotations

from typing import Literal, cast

from curate.errors import ExpressionError
from curate.select.syntax import (
    Arithmetic,
    Between,
    Call,
    Case,
    Compare,
    Constant,
    In,
    IsNull,
    Like,
    Logic,
    Name,
    NamePart,
    Negative,
    Node,
    Not,
    Operator,
)
from curate.select.tokens import Token, problem_at, tokenize

MAX_DEPTH = 64
"""Levels of parentheses, functions and signs inside each other."""
MAX_TERMS = 256
"""Operands of one chain, items of one list, branches of one case."""

_COMPARISONS = frozenset({"=", "!=", "<", "<=", ">", ">="})


def parse_tree(text: str, what: str) -> Node:
    """The tree of one expression; `what` names it in complaints. Raises `ExpressionError` with the position."""
    return _Parser(text, what).parse()


class _Parser:
    def __init__(self, text: str, what: str) -> None:
        self._what = what
        self._tokens = tokenize(text, what)
        self._next = 0
        self._depth = 0

    def parse(self) -> Node:
        tree = self._expression()
        if self._peek.kind != "end":
            raise self._unexpected("the end of the expression")
        return tree

    # What comes next

    @property
    def _peek(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._peek
        self._next += 1
        return token

    def _accept(self, *words: str) -> Token | None:
        """The next token if it is one of these operators or keywords."""
        token = self._peek
        if token.kind in ("operator", "keyword") and token.text in words:
            return self._take()
        return None

    def _expect(self, word: str) -> Token:
        token = self._accept(word)
        if token is None:
            raise self._unexpected(f"'{word}'")
        return token

    def _unexpected(self, wanted: str) -> ExpressionError:
        token = self._peek
        found = "the expression ends" if token.kind == "end" else f"'{token.text[:40]}' stands"
        return problem_at(self._what, token.start, f"{found} where {wanted} should")

    def _enter(self) -> None:
        """Go one level deeper; whoever enters, leaves by `self._depth -= 1`."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise problem_at(self._what, self._peek.start, f"more than {MAX_DEPTH} levels stand inside each other")

    def _check_count(self, count: int, token: Token) -> None:
        if count > MAX_TERMS:
            raise problem_at(self._what, token.start, f"more than {MAX_TERMS} terms stand side by side")

    # The grammar. A level of nesting is ten calls deep, so `MAX_DEPTH` levels stay well below Python's limit.

    def _expression(self) -> Node:
        self._enter()
        operands = [self._and()]
        while joined := self._accept("or"):
            operands.append(self._and())
            self._check_count(len(operands), joined)
        self._depth -= 1
        return _joined("or", operands)

    def _and(self) -> Node:
        operands = [self._not()]
        while joined := self._accept("and"):
            operands.append(self._not())
            self._check_count(len(operands), joined)
        return _joined("and", operands)

    def _not(self) -> Node:
        if negation := self._accept("not"):
            self._enter()
            operand = self._not()
            self._depth -= 1
            return Not(operand=operand, start=negation.start, end=operand.end)
        return self._test()

    def _test(self) -> Node:
        left = self._sum()
        if self._peek.text in _COMPARISONS and self._peek.kind == "operator":
            return self._comparison(left)
        if self._accept("is"):
            negated = self._accept("not") is not None
            end = self._expect("null").end
            return IsNull(operand=left, negated=negated, start=left.start, end=end)
        negated = self._accept("not") is not None
        if self._accept("in"):
            return self._in(left, negated)
        if self._accept("between"):
            low = self._sum()
            self._expect("and")
            high = self._sum()
            return Between(operand=left, low=low, high=high, negated=negated, start=left.start, end=high.end)
        if word := self._accept("like", "ilike"):
            pattern = self._sum()
            return Like(
                operand=left,
                pattern=pattern,
                negated=negated,
                ignore_case=word.text == "ilike",
                start=left.start,
                end=pattern.end,
            )
        if negated:
            raise self._unexpected("'in', 'between' or 'like'")
        return left

    def _comparison(self, left: Node) -> Node:
        operator = cast(Literal["=", "!=", "<", "<=", ">", ">="], self._take().text)
        right = self._sum()
        if self._peek.kind == "operator" and self._peek.text in _COMPARISONS:
            raise problem_at(self._what, self._peek.start, "comparisons do not chain; write 'between', or 'a < b and b < c'")
        return Compare(left=left, operator=operator, right=right, start=left.start, end=right.end)

    def _in(self, operand: Node, negated: bool) -> Node:
        self._expect("(")
        items = self._items()
        end = self._expect(")").end
        return In(operand=operand, items=items, negated=negated, start=operand.start, end=end)

    def _items(self) -> list[Node]:
        items = [self._expression()]
        while comma := self._accept(","):
            items.append(self._expression())
            self._check_count(len(items), comma)
        return items

    def _sum(self) -> Node:
        first = self._product()
        rest: list[tuple[Operator, Node]] = []
        while operator := self._accept("+", "-"):
            rest.append((cast(Operator, operator.text), self._product()))
            self._check_count(len(rest) + 1, operator)
        return _chain(first, rest)

    def _product(self) -> Node:
        first = self._signed()
        rest: list[tuple[Operator, Node]] = []
        while operator := self._accept("*", "/"):
            rest.append((cast(Operator, operator.text), self._signed()))
            self._check_count(len(rest) + 1, operator)
        return _chain(first, rest)

    def _signed(self) -> Node:
        if sign := self._accept("-", "+"):
            self._enter()
            operand = self._signed()
            self._depth -= 1
            return Negative(operand=operand, start=sign.start, end=operand.end) if sign.text == "-" else operand
        return self._primary()

    def _primary(self) -> Node:
        token = self._peek
        if token.kind == "number":
            self._take()
            return Constant(value=float(token.text), start=token.start, end=token.end)
        if token.kind == "text":
            self._take()
            return Constant(value=token.text, start=token.start, end=token.end)
        if self._accept("true", "false", "null"):
            value = {"true": True, "false": False, "null": None}[token.text]
            return Constant(value=value, start=token.start, end=token.end)
        if token.kind in ("name", "quoted name"):
            return self._name_or_call()
        if self._accept("case"):
            return self._case(token)
        if self._accept("("):
            inner = self._expression()
            self._expect(")")
            return inner
        raise self._unexpected("a value")

    def _name_or_call(self) -> Node:
        first = self._take()
        if first.kind == "name" and self._accept("("):
            arguments = [] if self._peek.text == ")" and self._peek.kind == "operator" else self._items()
            end = self._expect(")").end
            return Call(function=first.text, arguments=arguments, start=first.start, end=end)
        parts = [first]
        while self._accept("."):
            if self._peek.kind not in ("name", "quoted name"):
                raise self._unexpected("a name")
            parts.append(self._take())
            self._check_count(len(parts), parts[-1])
        named = tuple(NamePart(text=part.text, quoted=part.kind == "quoted name") for part in parts)
        return Name(parts=named, start=first.start, end=parts[-1].end)

    def _case(self, case: Token) -> Node:
        branches: list[tuple[Node, Node]] = []
        while when := self._accept("when"):
            condition = self._expression()
            self._expect("then")
            branches.append((condition, self._expression()))
            self._check_count(len(branches), when)
        if not branches:
            raise self._unexpected("'when'")
        otherwise = self._expression() if self._accept("else") else None
        end = self._expect("end").end
        return Case(branches=branches, otherwise=otherwise, start=case.start, end=end)


def _joined(word: Literal["and", "or"], operands: list[Node]) -> Node:
    if len(operands) == 1:
        return operands[0]
    return Logic(word=word, operands=operands, start=operands[0].start, end=operands[-1].end)


def _chain(first: Node, rest: list[tuple[Operator, Node]]) -> Node:
    if not rest:
        return first
    return Arithmetic(first=first, rest=rest, start=first.start, end=rest[-1][1].end)
