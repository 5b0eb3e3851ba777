"""From the tree of an expression to typed SQL: names resolved, types checked, literals bound, nothing else let through."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from curate.errors import ExpressionError, nearest
from curate.records import View
from curate.select import syntax
from curate.select.fragments import Fragment, combined, finite_or_null
from curate.select.functions import ALL_NAMES, FUNCTIONS, GROUP_FUNCTIONS, count_in_group
from curate.select.names import Column, Type, quoted, resolve
from curate.select.tokens import problem_at

MAX_SQL = 1 << 18
"""Characters of SQL. Guards repeat what they guard, so powers of powers of powers grow fast; nothing sensible comes near."""

TYPE_NAMES = {"number": "a number", "text": "a text", "boolean": "true or false", "null": "null"}


class Compiler:
    """Builds the SQL of an expression, or of several that go into one, and notes what they read."""

    def __init__(self, view: View, what: str, *, lenient: bool = False) -> None:
        """`what` names the expression in complaints, and its parameters in the query; `lenient` requires no rating."""
        self.parameters: dict[str, float | str] = {}
        """Literals, by the name they have in the SQL."""
        self.raters: dict[str, None] = {}
        """Raters that are named, in order."""
        self.required: dict[str, str] = {}
        """Value columns that have to be there, and their raters."""
        self.windows: dict[str, str] = {}
        """Window functions, and the columns that they become."""
        self._view = view
        self._what = what
        self._prefix = re.sub(r"\W", "_", what)
        self._text = ""
        self._tolerant = int(lenient)
        self._builders: dict[type[syntax.Node], Callable[..., Fragment]] = {
            syntax.Constant: self._constant,
            syntax.Name: self._name,
            syntax.Negative: self._negative,
            syntax.Arithmetic: self._arithmetic,
            syntax.Logic: self._logic,
            syntax.Not: self._not,
            syntax.Compare: self._compare,
            syntax.Between: self._between,
            syntax.In: self._in,
            syntax.IsNull: self._is_null,
            syntax.Like: self._like,
            syntax.Case: self._case,
            syntax.Call: self._call,
        }

    def compile(self, text: str, tree: syntax.Node) -> Fragment:
        """The SQL of one tree, which was parsed from `text`. Raises `ExpressionError` with the position."""
        self._text = text
        return self._build(tree)

    def window(self, sql: str) -> str:
        """The column of a window function, which is computed once however often it is used."""
        return self.windows.setdefault(sql, f"_{self._prefix}_w{len(self.windows)}")

    def _build(self, node: syntax.Node) -> Fragment:
        fragment = self._builders[type(node)](node)
        if len(fragment.sql) + sum(map(len, self.windows)) > MAX_SQL:
            raise self._problem(node, "too many divisions, powers or cases stand inside each other here; write it in fewer steps")
        return fragment

    # Complaints

    def _problem(self, node: syntax.Node, message: str) -> ExpressionError:
        return problem_at(self._what, node.start, message)

    def _shown(self, node: syntax.Node) -> str:
        written = self._text[node.start : node.end]
        return f"'{written[:60]}{'…' if len(written) > 60 else ''}'"

    def _typed(self, node: syntax.Node, *wanted: Type) -> Fragment:
        """The fragment of a node that must have one of these types."""
        fragment = self._build(node)
        if fragment.type not in wanted:
            kinds = " or ".join(TYPE_NAMES[kind] for kind in wanted)
            raise self._problem(node, f"{self._shown(node)} is {TYPE_NAMES[fragment.type]}, and {kinds} is needed here")
        return fragment

    def _alike(self, nodes: Sequence[syntax.Node], *, nulls: bool = False) -> list[Fragment]:
        """The fragments of nodes that must have one type among them; a literal null fits any where `nulls` are taken."""
        fragments = [self._build(node) for node in nodes]
        first: tuple[syntax.Node, Fragment] | None = None
        for node, fragment in zip(nodes, fragments, strict=True):
            if fragment.type == "null":
                if not nulls:
                    raise self._problem(node, "nothing equals null; write 'is null' or 'is not null'")
                continue
            if first is None:
                first = (node, fragment)
            elif fragment.type != first[1].type:
                raise self._problem(
                    node,
                    f"{self._shown(first[0])} is {TYPE_NAMES[first[1].type]} and {self._shown(node)} is "
                    f"{TYPE_NAMES[fragment.type]}; they cannot be compared or mixed",
                )
        if first is None:
            raise self._problem(nodes[0], "something other than null is needed here")
        return fragments

    def _check_order(self, node: syntax.Node, fragment: Fragment) -> None:
        if fragment.type == "boolean":
            raise self._problem(node, f"{self._shown(node)} is true or false, which has no order")

    # Leaves

    def _constant(self, node: syntax.Constant) -> Fragment:
        if node.value is None:
            return Fragment(sql="NULL", type="null", total=False)
        if isinstance(node.value, bool):
            return Fragment(sql="TRUE" if node.value else "FALSE", type="boolean", total=True)
        name = f"{self._prefix}_{len(self.parameters)}"
        self.parameters[name] = node.value
        return Fragment(sql=f"${name}", type="text" if isinstance(node.value, str) else "number", total=True)

    def _name(self, node: syntax.Name) -> Fragment:
        return self._column(resolve(node, self._view, self._what, text=self._text))

    def _column(self, column: Column) -> Fragment:
        if column.rater is not None:
            self.raters[column.rater] = None
            if column.value is not None and not self._tolerant:
                self.required[column.value] = column.rater
        sql = quoted(column.name)
        if column.part == "field" and column.type == "number":
            sql = f"CAST({sql} AS DOUBLE)"
        return Fragment(sql=sql, type=column.type, total=column.part == "value" and not self._tolerant)

    # Operators

    def _negative(self, node: syntax.Negative) -> Fragment:
        operand = self._typed(node.operand, "number")
        return combined(f"(- {operand.sql})", "number", [operand], finite=operand.finite)

    def _arithmetic(self, node: syntax.Arithmetic) -> Fragment:
        parts = [self._typed(node.first, "number")]
        words = [parts[0].sql]
        for operator, operand in node.rest:
            part = self._typed(operand, "number")
            if operator == "/":
                part = finite_or_null(part)  # one over infinity would be an ordinary 0
            parts.append(part)
            words += [operator, part.sql]
        return combined(f"({' '.join(words)})", "number", parts, finite=False)

    def _logic(self, node: syntax.Logic) -> Fragment:
        parts = [self._typed(operand, "boolean") for operand in node.operands]
        return combined(f"({f' {node.word.upper()} '.join(part.sql for part in parts)})", "boolean", parts)

    def _not(self, node: syntax.Not) -> Fragment:
        operand = self._typed(node.operand, "boolean")
        return combined(f"(NOT {operand.sql})", "boolean", [operand])

    def _compare(self, node: syntax.Compare) -> Fragment:
        left, right = (finite_or_null(part) for part in self._alike([node.left, node.right]))
        if node.operator not in ("=", "!="):
            self._check_order(node.left, left)
        return combined(f"({left.sql} {node.operator} {right.sql})", "boolean", [left, right])

    def _between(self, node: syntax.Between) -> Fragment:
        parts = [finite_or_null(part) for part in self._alike([node.operand, node.low, node.high])]
        self._check_order(node.operand, parts[0])
        operand, low, high = (part.sql for part in parts)
        return combined(f"({operand} {_negated(node.negated)}BETWEEN {low} AND {high})", "boolean", parts)

    def _in(self, node: syntax.In) -> Fragment:
        parts = [finite_or_null(part) for part in self._alike([node.operand, *node.items])]
        items = ", ".join(part.sql for part in parts[1:])
        return combined(f"({parts[0].sql} {_negated(node.negated)}IN ({items}))", "boolean", parts)

    def _is_null(self, node: syntax.IsNull) -> Fragment:
        self._tolerant += 1
        operand = finite_or_null(self._build(node.operand))
        self._tolerant -= 1
        sql = f"({operand.sql} IS {_negated(node.negated)}NULL)"
        return Fragment(sql=sql, type="boolean", total=True, grouped=operand.grouped)

    def _like(self, node: syntax.Like) -> Fragment:
        parts = [self._typed(node.operand, "text"), self._typed(node.pattern, "text")]
        word = "ILIKE" if node.ignore_case else "LIKE"
        return combined(f"({parts[0].sql} {_negated(node.negated)}{word} {parts[1].sql})", "boolean", parts)

    def _case(self, node: syntax.Case) -> Fragment:
        conditions = [self._typed(condition, "boolean") for condition, _ in node.branches]
        results = self._alike([result for _, result in node.branches] + ([node.otherwise] if node.otherwise else []), nulls=True)
        words = [f"WHEN {condition.sql} THEN {result.sql}" for condition, result in zip(conditions, results, strict=False)]
        words += [f"ELSE {results[-1].sql}"] if node.otherwise else []
        known = next(result.type for result in results if result.type != "null")
        whole = combined(
            f"(CASE {' '.join(words)} END)", known, [*conditions, *results], finite=all(result.finite for result in results)
        )
        return replace(whole, total=node.otherwise is not None and all(result.total for result in results))

    # Functions

    def _call(self, node: syntax.Call) -> Fragment:
        name = node.function
        if name not in ALL_NAMES:
            raise self._problem(node, f"there is no function '{name[:80]}'. {nearest(name, ALL_NAMES, shown=len(ALL_NAMES))}")
        if name in FUNCTIONS:
            function = FUNCTIONS[name]
            return function.build(self._arguments(node, function.takes, repeats=function.repeats))
        if name in GROUP_FUNCTIONS:
            group_function = GROUP_FUNCTIONS[name]
            parts = self._arguments(node, ("number",), repeats=group_function.repeats)
            return group_function.build(self._not_nested(node, parts), self.window)
        special = {
            "coalesce": self._coalesce,
            "round": self._round,
            "regexp_matches": self._regexp_matches,
            "spread": self._spread,
            "count_in_group": self._count_in_group,
        }
        return special[name](node)

    def _arguments(self, node: syntax.Call, takes: Sequence[Type], *, repeats: bool) -> list[Fragment]:
        self._check_count(node, len(takes), None if repeats else len(takes))
        types = [*takes, *[takes[-1]] * len(node.arguments)]
        return [self._typed(argument, type_) for argument, type_ in zip(node.arguments, types, strict=False)]

    def _check_count(self, node: syntax.Call, least: int, most: int | None) -> None:
        count = len(node.arguments)
        if count < least or (most is not None and count > most):
            takes = f"{least}" if most == least else f"{least} or more" if most is None else f"{least} to {most}"
            raise self._problem(node, f"{node.function}() takes {takes} argument{'' if takes == '1' else 's'}, not {count}")

    def _not_nested(self, node: syntax.Call, parts: list[Fragment]) -> list[Fragment]:
        for argument, part in zip(node.arguments, parts, strict=True):
            if part.grouped:
                raise self._problem(argument, f"a group function cannot stand inside another, as here in {node.function}()")
        return parts

    def _coalesce(self, node: syntax.Call) -> Fragment:
        """The first argument that is there. Its raters need not be ok: the expression says what to take instead."""
        self._check_count(node, 2, None)
        self._tolerant += 1
        parts = [finite_or_null(part) for part in self._alike(node.arguments, nulls=True)]
        self._tolerant -= 1
        known = next(part.type for part in parts if part.type != "null")
        whole = combined(f"coalesce({', '.join(part.sql for part in parts)})", known, parts)
        return replace(whole, total=any(part.total for part in parts))

    def _round(self, node: syntax.Call) -> Fragment:
        self._check_count(node, 1, 2)
        value = self._typed(node.arguments[0], "number")
        if len(node.arguments) == 1:
            return combined(f"round({value.sql})", "number", [value], finite=value.finite)
        digits = node.arguments[1]
        if not isinstance(digits, syntax.Constant) or not isinstance(digits.value, float) or digits.value not in range(16):
            raise self._problem(digits, f"round() takes a whole number of digits from 0 to 15, and not {self._shown(digits)}")
        return combined(f"round({value.sql}, {int(digits.value)})", "number", [value], finite=False)

    def _regexp_matches(self, node: syntax.Call) -> Fragment:
        """RE2's expressions, which are matched in linear time."""
        self._check_count(node, 2, 2)
        value = self._typed(node.arguments[0], "text")
        pattern = node.arguments[1]
        if not isinstance(pattern, syntax.Constant) or not isinstance(pattern.value, str):
            raise self._problem(pattern, "regexp_matches() takes its pattern as a text in quotes")
        _check_pattern(pattern.value, self._problem(pattern, "this is not a regular expression"))
        return combined(f"regexp_matches({value.sql}, {self._constant(pattern).sql})", "boolean", [value])

    def _spread(self, node: syntax.Call) -> Fragment:
        """The spread that a rater gave with its value."""
        self._check_count(node, 1, 1)
        name = node.arguments[0]
        column = resolve(name, self._view, self._what, text=self._text) if isinstance(name, syntax.Name) else None
        if column is None or column.part != "value":
            raise self._problem(name, f"spread() takes a rater or one of its dimensions, and not {self._shown(name)}")
        if column.spread is None:
            raise self._problem(name, f"the rater '{column.rater}' gives no spread for {self._shown(name)}")
        return self._column(replace(column, name=column.spread, part="spread"))

    def _count_in_group(self, node: syntax.Call) -> Fragment:
        self._check_count(node, 0, 1)
        parts = [self._typed(argument, "number", "boolean") for argument in node.arguments]
        return count_in_group(self._not_nested(node, parts), self.window)


def _negated(negated: bool) -> str:
    return "NOT " if negated else ""


def _check_pattern(pattern: str, error: ExpressionError) -> None:
    """Raise `error`, with the reason, unless RE2 takes the pattern."""
    import duckdb

    with duckdb.connect(config={"threads": 1}) as connection:
        try:
            connection.execute("SELECT regexp_matches('', ?)", [pattern])
        except duckdb.Error as problem:
            raise ExpressionError(*error.args, f": {str(problem).splitlines()[0][:200]}") from problem
