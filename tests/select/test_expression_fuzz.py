"""Hostile and random expressions: refused, or meaning exactly what they say, and never doing anything."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import CurateError, ExpressionError
from curate.records import View
from curate.select import filter, pair  # noqa: A004
from curate.select.engine import Engine
from curate.select.expression import parse
from curate.select.names import Type
from curate.select.samples import with_column
from tests.select.views import Given, write_view

WORLD = [
    Given(
        sample=f"s{place}",
        group="g",
        ratings={"pickscore.overall": pick, "hps-v2.overall": hps, "nsfw.safe": 0.0},
        fields={"width": width, "prompt": prompt},
    )
    for place, (pick, hps, width, prompt) in enumerate(
        [(0.5, -2.0, 512, "a cat"), (0.0, 3.5, 1024, "it's 100% 'quoted'"), (-1.25, 1e300, None, None), (1e-300, 0.1, 0, "")]
    )
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def view(place: Path) -> View:
    return write_view(place / "view.parquet", WORLD)


@pytest.fixture(scope="module")
def engine(view: View, place: Path) -> Iterator[Engine]:
    (place / "spill").mkdir()
    with Engine(view, memory=1 << 30, threads=1, seconds=120, scratch=place / "spill") as engine:
        yield engine


def evaluated(engine: Engine, view: View, text: str, wanted: Type) -> dict[str, Any]:
    expression = parse(text, view, what="it", wanted=wanted)
    query = with_column("SELECT * FROM samples", expression, "it")
    return dict(engine.rows(f"SELECT sample, it FROM ({query})", expression.parameters))


# Expressions made at random, together with what they mean

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Meant:
    """An expression and its meaning."""

    text: str
    of: Callable[[Row], Any]


def finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def null_or(function: Callable[..., Any], *parts: Meant) -> Callable[[Row], Any]:
    """A function that is null where an argument is, and where its result is not finite."""

    def of(row: Row) -> Any:
        values = [part.of(row) for part in parts]
        if None in values:
            return None
        result = function(*values)
        return finite(result) if isinstance(result, float) else result

    return of


def divided(a: float, b: float) -> float:
    return a / b if b else math.inf


def three_valued(word: str, values: list[bool | None]) -> bool | None:
    deciding = word == "or"
    if deciding in values:
        return deciding
    return None if None in values else not deciding


NUMBERS = st.one_of(
    st.sampled_from([0.0, 1.0, 0.5, 2.0, 1e308, 1e-308]).map(lambda value: Meant(repr(value), lambda row: value)),
    st.sampled_from(
        [("pickscore", "pick"), ("HPS_V2", "hps"), ('"hps-v2".overall', "hps"), ("width", "width"), ("nsfw", "zero")]
    ).map(lambda pair: Meant(pair[0], lambda row: row[pair[1]])),
)
TEXTS = st.one_of(
    st.just(Meant("prompt", lambda row: row["prompt"])),
    st.text(alphabet="ab'%_ \\\";-é\n", max_size=4).map(
        lambda value: Meant("'" + value.replace("'", "''") + "'", lambda row: value)
    ),
)
COMPARISONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq, "<>": operator.ne}
ARITHMETIC = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": divided}


@st.composite
def numbers(draw: st.DrawFn, depth: int = 3) -> Meant:
    if depth == 0 or draw(st.booleans()):
        return draw(NUMBERS)
    kind = draw(st.sampled_from(["arithmetic", "negative", "function", "extreme", "coalesce", "case"]))
    a, b = draw(numbers(depth=depth - 1)), draw(numbers(depth=depth - 1))
    if kind == "arithmetic":
        symbol = draw(st.sampled_from(list(ARITHMETIC)))
        return Meant(f"({a.text}{draw(SPACE)}{symbol} {b.text})", null_or(ARITHMETIC[symbol], a, b))
    if kind == "negative":
        return Meant(f"- {a.text}", null_or(operator.neg, a))
    if kind == "function":
        name, function = draw(st.sampled_from([("abs", abs), ("floor", floored), ("ceil", raised), ("sqrt", rooted)]))
        return Meant(f"{name}({a.text})", null_or(function, a))
    if kind == "extreme":
        name, function = draw(st.sampled_from([("least", min), ("greatest", max)]))
        return Meant(f"{name}({a.text}, {b.text})", null_or(function, a, b))
    if kind == "coalesce":
        return Meant(f"coalesce({a.text},{b.text})", lambda row: b.of(row) if a.of(row) is None else a.of(row))
    condition = draw(conditions(depth=depth - 1))
    return Meant(
        f"case when {condition.text} then {a.text} else {b.text} end", lambda row: (a if condition.of(row) else b).of(row)
    )


def floored(value: float) -> float:
    return float(math.floor(value))


def raised(value: float) -> float:
    return float(math.ceil(value))


def rooted(value: float) -> float:
    return math.sqrt(value) if value >= 0 else math.nan


SPACE = st.sampled_from(["", " ", "\n", "\t "])


@st.composite
def conditions(draw: st.DrawFn, depth: int = 3) -> Meant:
    kind = draw(st.sampled_from(["compare", "texts", "null", "between", "in"] + ["logic", "not"] * (depth > 0)))
    if kind in ("logic", "not"):
        parts = [draw(conditions(depth=depth - 1)) for _ in range(draw(st.integers(2, 3)))]
        if kind == "not":
            return Meant(f"not ({parts[0].text})", null_or(operator.not_, parts[0]))
        word = draw(st.sampled_from(["and", "or"]))
        text = f" {word.upper() if depth % 2 else word} ".join(f"({part.text})" for part in parts)
        return Meant(text, lambda row: three_valued(word, [part.of(row) for part in parts]))
    symbol = draw(st.sampled_from(list(COMPARISONS)))
    if kind == "texts":
        left, right = draw(TEXTS), draw(TEXTS)
        return Meant(f"{left.text}{symbol}{right.text}", null_or(in_bytes(COMPARISONS[symbol]), left, right))
    a, b, c = (draw(numbers(depth=max(0, depth - 1))) for _ in range(3))
    if kind == "compare":
        return Meant(f"{a.text} {symbol}{draw(SPACE)}{b.text}", null_or(COMPARISONS[symbol], a, b))
    if kind == "null":
        return Meant(f"{a.text} is not null", lambda row: a.of(row) is not None)
    if kind == "between":
        return Meant(
            f"{a.text} between {b.text} and {c.text}",
            lambda row: three_valued("and", [null_or(operator.ge, a, b)(row), null_or(operator.le, a, c)(row)]),
        )
    return Meant(
        f"{a.text} in ({b.text}, {c.text})",
        lambda row: three_valued("or", [null_or(operator.eq, a, b)(row), null_or(operator.eq, a, c)(row)]),
    )


def in_bytes(compare: Callable[[Any, Any], bool]) -> Callable[[str, str], bool]:
    return lambda a, b: compare(a.encode(), b.encode())


def rows() -> dict[str, Row]:
    return {
        one.sample: {
            "pick": one.ratings["pickscore.overall"],
            "hps": one.ratings["hps-v2.overall"],
            "zero": 0.0,
            "width": None if one.fields["width"] is None else float(one.fields["width"]),
            "prompt": one.fields["prompt"],
        }
        for one in WORLD
    }


@settings(max_examples=150, deadline=None, derandomize=True)
@given(meant=numbers())
def test_random_numbers_mean_what_they_say(engine: Engine, view: View, meant: Meant) -> None:
    assert evaluated(engine, view, meant.text, "number") == {sample: meant.of(row) for sample, row in rows().items()}


@settings(max_examples=150, deadline=None, derandomize=True)
@given(meant=conditions())
def test_random_conditions_mean_what_they_say(engine: Engine, view: View, meant: Meant) -> None:
    assert evaluated(engine, view, meant.text, "boolean") == {sample: meant.of(row) for sample, row in rows().items()}


LANGUAGE = """
    pickscore hps_v2 width prompt z coalesce case when then else end and or not in is null like between true 1 2.5 'a'
    ( ) , . + - * / < > = <> <=
"""
BEYOND = """
    ; -- /* */ select from samples where union all exists read_text('/etc/hostname') ' " $1 ? :: @ \\ ~ [ ] { }
"""


def complaint(engine: Engine, view: View, text: str) -> str:
    """What is said of an expression that is refused; nothing of one that the database then takes."""
    try:
        evaluated(engine, view, text, "boolean")
    except ExpressionError as problem:
        return str(problem)
    return ""


@settings(max_examples=300, deadline=None, derandomize=True)
@given(words=st.lists(st.sampled_from((LANGUAGE * 2 + BEYOND).split()), max_size=12), space=st.sampled_from(["", " "]))
def test_random_words_are_refused_or_taken_by_the_database(engine: Engine, view: View, words: list[str], space: str) -> None:
    assert "\n" not in complaint(engine, view, space.join(words))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(text=st.text(max_size=40))
def test_random_text_is_refused_or_taken_by_the_database(engine: Engine, view: View, text: str) -> None:
    assert "\n" not in complaint(engine, view, text)


TARGET = "CANARY/stolen"
"""Replaced by a path in the canary folder."""

INJECTIONS = [
    f"true; COPY (SELECT 42) TO '{TARGET}'",
    f"true); COPY (SELECT 42) TO '{TARGET}'; --",
    f"1 = 1) TO '{TARGET}' --",
    f"(COPY (SELECT 42) TO '{TARGET}')",
    f"true; ATTACH '{TARGET}.db' AS stolen",
    f"true; EXPORT DATABASE '{TARGET}'",
    "true; INSTALL httpfs; LOAD httpfs",
    "true; SET enable_external_access = true",
    "true; PRAGMA enable_external_access",
    "true; RESET lock_configuration",
    "true; CHECKPOINT; VACUUM",
    "true; CREATE TABLE stolen AS FROM samples",
    "true; DROP VIEW samples",
    "true; CALL pragma_version()",
    "(SELECT count(*) FROM read_text('/etc/passwd')) > 0",
    "exists (SELECT 1 FROM read_text('/etc/passwd'))",
    "width IN (SELECT 1)",
    "width IN (FROM samples SELECT width)",
    "width = ANY (SELECT 1)",
    "(TABLE samples) IS NOT NULL",
    "(VALUES (1)) = 1",
    "(WITH x AS (SELECT 1) SELECT * FROM x) = 1",
    "read_text('/etc/passwd') is not null",
    "read_blob('CANARY/secret') is not null",
    "read_csv('CANARY/secret') is not null",
    "read_parquet('CANARY/secret') is not null",
    "sniff_csv('CANARY/secret') is not null",
    "glob('CANARY/*') is not null",
    "getenv('HOME') is not null",
    "current_setting('threads') = '1'",
    "current_user = 'a'",
    "current_date > '2000'",
    "version() = 'a'",
    "now() is null",
    "random() > 0.5",
    "setseed(0.5) is null",
    "nextval('a') > 1",
    "error('stolen') is null",
    "query('SELECT 1') = 1",
    "query_table('samples') is null",
    "getvariable('a') is null",
    "add_parquet_key('a', 'b') is null",
    "which_secret('a', 'b') is null",
    "duckdb_secrets() is null",
    "parse_path('/a') is null",
    "list_transform([1], x -> x) = [1]",
    "(lambda x: x)(1) = 1",
    "list_filter([1], lambda x: x > 0) is null",
    "[x for x in range(10)] is null",
    "[1, 2] is null",
    "{'a': 1} is null",
    "MAP {'a': 1} is null",
    "row(1) is null",
    "struct_pack(a := 1) is null",
    "unnest([1]) > 0",
    "columns(*) > 0",
    "COLUMNS('pick.*') > 0",
    "* > 0",
    "samples.* is null",
    "samples is null",
    "rowid > 0",
    "file_row_number > 0",
    "filename is not null",
    "CAST(width AS VARCHAR) = '1'",
    "width::VARCHAR = '1'",
    "TRY_CAST(prompt AS JSON) is null",
    "CAST('a' AS some_type) is null",
    "width::STRUCT(a INT) is null",
    "DATE '2020-01-01' < prompt",
    "INTERVAL 1 DAY is null",
    "TIMESTAMP 'now' is null",
    "prompt COLLATE nocase = 'a'",
    "prompt SIMILAR TO '(a+)+'",
    "prompt ~ 'a'",
    "prompt GLOB 'a*'",
    "prompt LIKE 'a' ESCAPE 'b'",
    "prompt || 'a' = 'b'",
    "width % 2 = 1",
    "width // 2 = 1",
    "width ** 2 = 1",
    "width & 1 = 1",
    "width << 40 > 1",
    "-width@ > 1",
    "!5 = 120",
    "width IS DISTINCT FROM 3",
    "width IS TRUE",
    "width ISNULL",
    "avg(pickscore) > 0",
    "sum(pickscore) OVER () > 0",
    "rank() OVER (ORDER BY pickscore) = 1",
    "z(pickscore) OVER () > 0",
    "z(DISTINCT pickscore) > 0",
    "z(pickscore ORDER BY width) > 0",
    "z(pickscore) FILTER (WHERE true) > 0",
    "z(pickscore, x := 1) > 0",
    "main.z(pickscore) > 0",
    "system.main.abs(width) > 0",
    "pickscore.overall.abs() > 0",
    "prompt.upper() = 'A'",
    "prompt[1] = 'a'",
    "prompt[1:2] = 'a'",
    "$it_0 = 1",
    "$1 = 1",
    "? = 1",
    ":name = 1",
    "@width > 1",
    "#1 > 1",
    "_value > 1",
    "_keep",
    "__by_w0 > 1",
    '"_value" > 1',
    '"pickscore.overall" > 0',
    '"x" FROM samples; SELECT "y" is null',
    '"pickscore"" FROM samples --" > 0',
    "'a''; DROP VIEW samples; --' = prompt OR",
    "prompt = 'a' OR 1=1 --",
    "prompt = 'a' UNION SELECT 1",
    "prompt = 'a' INTERSECT SELECT 1",
    "true LIMIT 1",
    "true ORDER BY 1",
    "true GROUP BY ALL",
    "true QUALIFY true",
    "true HAVING true",
    "true WINDOW w AS ()",
    "true) OR (true",
    ") OR (",
    "true, true",
    "true AS stolen",
    "true stolen",
    "DEFAULT",
    "prompt = e'\\x41'",
    "prompt = x'41'",
    "prompt = U&'\\0041'",
    "prompt = $$a$$",
    "prompt = $tag$a$tag$",
    "prompt = \u2018a\u2019",
    "prompt = \uff07a\uff07",
    "width \uff1e 1",
    "width\u00a0> 1",
    "width\u2003> 1",
    "\ufeffwidth > 1",
    "width > 1\u202e",
    "w\u0456dth > 1",
    "width > \u0661",
    "width > 1\x00; DROP VIEW samples",
    "width > 1\x1a",
    "width > 1 \\; DROP VIEW samples",
    "width > 0x10",
    "width > 1_000 + 1_",
    "width > 1e",
    "width > 1..2",
    "width > .",
    "width > NaN",
    "width > 'inf'",
    "width > infinity",
    "/**/width/**/>/**/1",
    "width > 1 --",
    "width > 1 #",
    "width\\n> 1",
    "case width when 512 then true end",
    "if(true, true, false)",
    "iff(true, true, false)",
    "ifnull(prompt, 'a') = 'a'",
    "nullif(width, 0) > 1",
    "regexp_matches(prompt, '(a', 'x')",
    "regexp_matches(prompt, '\\C')" + " and",
    "regexp_matches(prompt, '(?P<a>' )",
    "regexp_matches(prompt, '" + "(" * 500 + "')",
    "regexp_extract(prompt, 'a') = 'a'",
    "regexp_replace(prompt, 'a', 'b') = 'a'",
    "repeat(prompt, 1000000000) = 'a'",
    "rpad(prompt, 1000000000, 'a') = 'a'",
    "printf('%s', prompt) = 'a'",
    "format('{}', prompt) = 'a'",
    "md5(prompt) = 'a'",
    "hash(prompt) = 1",
    "to_json(prompt) = 'a'",
    "json_extract(prompt, '$') = 'a'",
    "json_execute_serialized_sql('a') = 1",
    "from_json(prompt, 'a') = 1",
    "strptime(prompt, '%s') > 1",
    "(" * 5000,
    "not " * 1500 + "true",
    "- " * 3000 + "1 > 0",
    "1 in (" * 70 + "1" + ")" * 70,
    "case when true then " * 100 + "1" + " end" * 100,
]


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_injections_are_refused_and_touch_nothing(tmp_path: Path, view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "secret").write_text("secret,column\n1,2\n")
    monkeypatch.chdir(canary)
    before = snapshot(canary)
    for text in INJECTIONS:
        hostile = text.replace("CANARY", str(canary))
        for option in ({"where": hostile, "by": "pickscore"}, {"by": hostile}, {"by": "pickscore", "agree": [hostile]}):
            with pytest.raises(ExpressionError) as problem:
                pair(view, out=tmp_path / "out" / "pairs.parquet", **option)
            assert "\n" not in str(problem.value), text
            assert len(str(problem.value)) < 500, text
        with pytest.raises(CurateError):
            filter(view, where="true", top=1, by="width", per=hostile, out=tmp_path / "out" / "kept.parquet")
    assert snapshot(canary) == before
    assert not (tmp_path / "out").exists()


def test_hostile_texts_are_only_texts(engine: Engine, view: View) -> None:
    texts = [text for text in INJECTIONS if len(text) < 2000 and "\0" not in text]
    assert len(texts) > 150
    for text in texts:
        literal = "'" + text.replace("'", "''") + "'"
        found = evaluated(engine, view, f"prompt <> {literal} and {literal} = {literal}", "boolean")
        assert found == {"s0": True, "s1": True, "s2": None, "s3": True}


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "SELECT * FROM glob('/*')",
        "FROM '/etc/passwd'",
        "COPY (SELECT 1) TO 'stolen.csv'",
        "ATTACH 'stolen.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "SET memory_limit = '100GB'",
        "SET allowed_paths = ['/etc/passwd']",
        "PRAGMA enable_profiling",
    ],
)
def test_the_second_wall_holds_alone(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str) -> None:
    """If a query came past the parser, it would find nothing open."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(duckdb.Error):
        engine.rows(statement, {})
    assert list(tmp_path.iterdir()) == []
