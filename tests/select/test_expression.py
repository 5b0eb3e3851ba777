"""What expressions mean, and what is said of those that mean nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from curate.errors import ExpressionError
from curate.records import View
from curate.select.engine import Engine
from curate.select.expression import Expression, parse, wins_of
from curate.select.names import Type
from curate.select.samples import with_column
from tests.select.views import Given, write_view


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> View:
    folder = tmp_path_factory.mktemp("view")
    return write_view(
        folder / "view.parquet",
        [
            Given(
                sample="a1",
                group="a",
                ratings={"pickscore.overall": 0.25, "hps-v2.overall": -2.0, "hps-v2.detail": 7.0, "nsfw.safe": 0.0},
                spreads={"hps-v2.overall": 0.5},
                fields={"prompt": "A cat's 100% — naïve", "width": 1024, "height": 0, "generator": None},
            ),
            Given(sample="a2", group="a", ratings={"pickscore.overall": "decode_error", "hps-v2.overall": 1.0}),
        ],
    )


@pytest.fixture(scope="module")
def engine(view: View, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with Engine(view, memory=1 << 30, threads=1, seconds=60, scratch=tmp_path_factory.mktemp("spill")) as engine:
        yield engine


def values(engine: Engine, expression: Expression) -> dict[str, object]:
    """What an expression is for each sample that has its required ratings."""
    query = with_column("SELECT * FROM samples", expression, "it")
    return dict(engine.rows(f"SELECT sample, it FROM ({query})", expression.parameters))


MEANINGS: list[tuple[str, Type, object]] = [
    # what stands, its type, what it is for the sample a1
    ("pickscore", "number", 0.25),
    ("pickscore.overall", "number", 0.25),
    ("PickScore", "number", 0.25),
    ('"pickscore"', "number", 0.25),
    ("hps_v2", "number", -2.0),
    ('"hps-v2".detail', "number", 7.0),
    ("hps_v2.overall.spread", "number", 0.5),
    ("hps_v2.spread", "number", 0.5),
    ("spread(hps_v2)", "number", 0.5),
    ("nsfw", "number", 0.0),
    ("width", "number", 1024.0),
    ("1 + 2 * 3 - 4 / 2", "number", 5.0),
    ("(1 + 2) * 3", "number", 9.0),
    ("10 - 2 - 3", "number", 5.0),
    ("16 / 4 / 2", "number", 2.0),
    ("- -1", "number", 1.0),
    ("-(2) * -3", "number", 6.0),
    ("+pickscore", "number", 0.25),
    (".5 + 1e-1 + 1.", "number", 1.6),
    ("7 / 2", "number", 3.5),
    ("width * height", "number", 0.0),
    ("abs(hps_v2)", "number", 2.0),
    ("ln(exp(1))", "number", 1.0),
    ("log10(1000)", "number", 3.0),
    ("sqrt(16)", "number", 4.0),
    ("pow(2, 10)", "number", 1024.0),
    ("least(3, pickscore, 2)", "number", 0.25),
    ("greatest(3, pickscore, 2)", "number", 3.0),
    ("round(2.567, 2)", "number", 2.57),
    ("round(2.5) + floor(-1.5) + ceil(-1.5)", "number", 0.0),
    ("length(prompt)", "number", 20.0),
    ("coalesce(generator, 'none') = 'none'", "boolean", True),
    ("coalesce(ln(0), 3)", "number", 3.0),
    ("case when pickscore > 1 then 1 when pickscore > 0.2 then 2 else 3 end", "number", 2.0),
    ("case when pickscore > 1 then 1 end", "number", None),
    ("case when width > 3 then null else 1 end", "number", None),
    ("pickscore > 0.2 and hps_v2 < 0", "boolean", True),
    ("pickscore > 0.3 or hps_v2 < 0 and false", "boolean", False),
    ("not pickscore > 0.3", "boolean", True),
    ("not (pickscore > 0.3 or true)", "boolean", False),
    ("pickscore <> 0.25", "boolean", False),
    ("pickscore == 0.25 and pickscore != 1 and pickscore <= .25 and pickscore >= .25", "boolean", True),
    ("pickscore between 0.25 and 1", "boolean", True),
    ("pickscore not between 0.25 and 1", "boolean", False),
    ("width in (512, 1024)", "boolean", True),
    ("width not in (512, 1024)", "boolean", False),
    ("prompt like 'A cat''s%'", "boolean", True),
    ("prompt like 'a cat''s%'", "boolean", False),
    ("prompt ilike 'a CAT''s%'", "boolean", True),
    ("prompt not like '%dog%'", "boolean", True),
    ("contains(prompt, '100%') and starts_with(prompt, 'A ')", "boolean", True),
    ("contains(lower(prompt), 'naïve') and contains(upper(prompt), 'CAT')", "boolean", True),
    ("regexp_matches(prompt, '[0-9]+%')", "boolean", True),
    ("generator is null", "boolean", True),
    ("generator is not null", "boolean", False),
    ("generator = 'model-a'", "boolean", None),
    ("pickscore.status = 'ok'", "boolean", True),
    ("(pickscore > 0) = true", "boolean", True),
    ("prompt < 'B'", "boolean", True),
    # what is not a finite number is null, and does not come back as one
    ("1 / nsfw", "number", None),
    ("1 / height", "number", None),
    ("ln(nsfw)", "number", None),
    ("sqrt(hps_v2)", "number", None),
    ("1 / (1 / nsfw)", "number", None),
    ("exp(-1 / nsfw)", "number", None),
    ("exp(1000)", "number", None),
    ("pow(10, 400)", "number", None),
    ("pow(0.5, 1 / nsfw)", "number", None),
    ("1e308 * 10 - 1e308 * 10", "number", None),
    ("least(1 / nsfw, 5)", "number", None),
    ("greatest(ln(nsfw), 5)", "number", None),
    ("abs(1 / nsfw) * 0", "number", None),
    ("1 / nsfw > 5", "boolean", None),
    ("ln(nsfw) < 5", "boolean", None),
    ("ln(nsfw) is null", "boolean", True),
    ("1 / nsfw between 1 and 2", "boolean", None),
    ("1 / nsfw in (1, 2)", "boolean", None),
    ("greatest(length(generator), 5)", "number", None),
]


@pytest.mark.parametrize(("text", "wanted", "expected"), MEANINGS, ids=[text for text, _, _ in MEANINGS])
def test_an_expression_means_what_sql_would_mean_by_it(
    view: View, engine: Engine, text: str, wanted: Type, expected: object
) -> None:
    found = values(engine, parse(text, view, what="by", wanted=wanted))["a1"]
    assert found == (pytest.approx(expected) if isinstance(expected, float) else expected)
    assert type(found) is type(expected)


REFUSED = [
    # what stands, and what is said of it
    ("pickscor > 1", "position 1: there is no rater or sample field 'pickscor'. Did you mean 'pickscore'?"),
    ("1 < widht", "position 5: there is no rater or sample field 'widht'. Did you mean 'width'"),
    ("detail > 1", "there is no rater or sample field 'detail'. Did you mean 'hps_v2.detail'?"),
    (
        "xyzzy > 1",
        "Known: pickscore, hps_v2, nsfw, sample, group, shard, key, index, prompt, generator, ",
    ),
    ("xyzzy.overall > 1", "there is no rater 'xyzzy'. Known: pickscore, hps_v2, nsfw."),
    ("hps_v2.detial > 1", "the rater 'hps-v2' has no 'detial'; it has overall, detail"),
    ("hps_v2.detail.more > 1", "has no 'more'"),
    ("prompt.length > 1", "there is no rater 'prompt'"),
    ("spread(pickscore) > 1", "the rater 'pickscore' gives no spread"),
    ("pickscore.spread > 1", "the rater 'pickscore' gives no spread for 'overall'"),
    ("hps_v2.detail.spread > 1", "gives no spread for 'detail'; it does for overall"),
    ("spread(width) > 1", "takes a rater or one of its dimensions"),
    ("spread(pickscore + 1) > 1", "takes a rater or one of its dimensions"),
    ("medain(pickscore) > 1", "there is no function 'medain'"),
    ("z(pickscore, 1) > 1", "z() takes 1 argument, not 2"),
    ("pow(2) > 1", "pow() takes 2 arguments, not 1"),
    ("least(2) > 1", "least() takes 2 or more arguments, not 1"),
    ("round(pickscore, 0.5) > 1", "whole number of digits"),
    ("round(pickscore, width) > 1", "whole number of digits"),
    ("regexp_matches(prompt, '(') ", "this is not a regular expression"),
    ("regexp_matches(prompt, prompt)", "takes its pattern as a text in quotes"),
    ("z(z(pickscore)) > 1", "position 3: a group function cannot stand inside another"),
    ("count_in_group(rank_in_group(pickscore) > 1) > 1", "a group function cannot stand inside another"),
    ("prompt > 3", "'prompt' is a text and '3' is a number"),
    ("width = '3'", "'width' is a number and ''3'' is a text"),
    ("width in (1, 'a')", "'width' is a number and ''a'' is a text"),
    ("width + prompt > 1", "position 9: 'prompt' is a text, and a number is needed here"),
    ("not width", "'width' is a number, and true or false is needed here"),
    ("width and true", "'width' is a number, and true or false is needed here"),
    ("(width > 1) > (width > 2)", "is true or false, which has no order"),
    ("lower(width) = 'a'", "'width' is a number, and a text is needed here"),
    ("width like 'a'", "'width' is a number, and a text is needed here"),
    ("pickscore = null", "position 13: nothing equals null; write 'is null'"),
    ("coalesce(null, null) = 1", "something other than null is needed here"),
    ("coalesce(pickscore, prompt) > 1", "'pickscore' is a number and 'prompt' is a text"),
    ("case when true then 1 else prompt end > 1", "'1' is a number and 'prompt' is a text"),
    ("width", "where is a number, and true or false is needed; compare it with something"),
    ("prompt", "where is a text, and true or false is needed"),
    ("null", "where is null, and true or false is needed"),
    ("1 < width < 3", "position 11: comparisons do not chain; write 'between'"),
    ("width >", "the expression ends where a value should"),
    ("(width > 1", "the expression ends where ')' should"),
    ("width > 1)", "')' stands where the end of the expression should"),
    ("width > 1 width", "'width' stands where the end of the expression should"),
    ("width not 3", "'3' stands where 'in', 'between' or 'like' should"),
    ("width is 3", "'3' stands where 'null' should"),
    ("case end > 1", "'end' stands where 'when' should"),
    ("pickscore. > 1", "'>' stands where a name should"),
    ("prompt like 'abc", "position 13: a text that begins here has no closing quote"),
    ('"pickscore > 1', "position 1: a quoted name that begins here has no closing quote"),
    ("width > 3 -- and more", "position 11: comments are not in the language"),
    ("width > 3 /* and more */", "position 11: comments are not in the language"),
    ("width > 1; drop table samples", "position 10: one expression is expected, without ';'"),
    ("width ^ 2 > 1", "powers are pow(x, y)"),
    ("width % 2 = 1", "'%' is not in the language"),
    ("width > 1 && true", "write 'and'"),
    ("prompt || 'a' = 'b'", "'|' is not in the language"),
    ("width > $1", "the character '$' is not in the language"),
    ("width > ?", "the character '?' is not in the language"),
    ("wıdth > 1", "the character 'ı' is not in the language"),
    ("width > \uff11", "is not in the language"),
    ("width\u200b > 1", "the character 'U+200B' is not in the language"),
    ("width > 1e999", "the number 1e999 is too large"),
    ("width > 1abc", "a space or an operator is missing before 'abc'"),
    ("prompt = E'a'", "a space or an operator is missing before 'a'"),
    ("prompt = 'a' 'b'", "'b' stands where the end of the expression should"),
    ("prompt = '\0'", "a NUL character stands here"),
    ("prompt = '\ud800'", "not Unicode text"),
    ("   ", "where is empty"),
    ("hps-v2 > 1", "position 1: here a dash is a minus: write the rater 'hps-v2' as hps_v2"),
    ("width - hps-v2-width > 1", "position 9: here a dash is a minus: write the rater 'hps-v2' as hps_v2"),
    ("hps-v22 > 1", "there is no rater or sample field 'hps'"),
    ("labels > 1", "the labels of samples go into datasets, and expressions cannot read them"),
    ("row > 1", "there is no rater or sample field 'row'"),
    ("group_no > 1", "there is no rater or sample field 'group_no'"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED, ids=[ascii(text) for text, _ in REFUSED])
def test_a_mistake_is_one_sentence_that_says_where(view: View, text: str, said: str) -> None:
    with pytest.raises(ExpressionError) as problem:
        parse(text, view, what="where", wanted="boolean")
    assert said in str(problem.value)
    assert str(problem.value).startswith("where")
    assert "\n" not in str(problem.value)


def test_a_number_is_needed_to_order_by(view: View) -> None:
    with pytest.raises(ExpressionError, match="by is a text, and a number is needed: prompt"):
        parse("prompt", view, what="by")
    with pytest.raises(ExpressionError, match="by is true or false, and a number is needed"):
        parse("width > 1", view, what="by")


@pytest.mark.parametrize("opening", ["(", "abs(", "-", "not "])
def test_nesting_is_limited(view: View, opening: str) -> None:
    wanted: Type = "boolean" if opening == "not " else "number"
    core = "true" if opening == "not " else "1"

    def nested(levels: int) -> str:
        return opening.replace("-", "- ") * levels + core + ")" * (levels * opening.count("("))

    parse(nested(60), view, what="by", wanted=wanted)
    with pytest.raises(ExpressionError, match="more than 64 levels"):
        parse(nested(65), view, what="by", wanted=wanted)


def test_length_and_width_are_limited(view: View, engine: Engine) -> None:
    longest = " + ".join(["pickscore"] * 256)
    assert values(engine, parse(longest, view, what="by"))["a1"] == pytest.approx(64.0)
    with pytest.raises(ExpressionError, match="more than 256 terms"):
        parse("+".join(["1"] * 257), view, what="by")
    with pytest.raises(ExpressionError, match="at most 4096"):
        parse("1 + " * 1025 + "1", view, what="by")
    with pytest.raises(ExpressionError, match="is 5000 bytes long"):
        parse("ü" * 2500, view, what="by")


def test_guards_cannot_make_the_query_explode(view: View) -> None:
    with pytest.raises(ExpressionError, match="stand inside each other"):
        parse("pow(" * 40 + "2" + ", ln(2) / width)" * 40, view, what="by")
    with pytest.raises(ExpressionError, match="stand inside each other"):
        parse(f"wins({', '.join(f'ln(width + {n})' for n in range(200))})", view, what="by")


def test_required_ratings_are_those_outside_coalesce(view: View) -> None:
    assert parse("pickscore + hps_v2.detail", view, what="by").required == {
        "pickscore.overall": "pickscore",
        "hps-v2.detail": "hps-v2",
    }
    assert parse("spread(hps_v2)", view, what="by").required == {"hps-v2.overall": "hps-v2"}
    tolerant = parse("coalesce(pickscore, hps_v2)", view, what="by")
    assert not tolerant.required
    assert set(tolerant.raters) == {"pickscore", "hps-v2"}
    assert not parse("pickscore.status = 'nan' or nsfw is null", view, what="where", wanted="boolean").required


def test_what_may_be_missing_is_missing_only_where_asked(view: View, engine: Engine) -> None:
    assert values(engine, parse("coalesce(pickscore, hps_v2)", view, what="by")) == {"a1": 0.25, "a2": 1.0}
    assert values(engine, parse("pickscore", view, what="by")) == {"a1": 0.25}
    assert values(engine, parse("pickscore", view, what="by", lenient=True)) == {"a1": 0.25, "a2": None}


def test_names_that_differ_in_a_dash_are_told_apart(tmp_path: Path) -> None:
    cards = View(path="", rows=0, groups=0, raters={})
    card = write_view(tmp_path / "view.parquet", []).raters["pickscore"]
    twins = View(path="", rows=0, groups=0, raters={"a-b_c": card, "a_b-c": card, "a-d": card, "a_d": card})
    with pytest.raises(ExpressionError, match="may mean 'a-b_c' or 'a_b-c'"):
        parse("a_b_c", twins, what="by")
    assert parse('"a-b_c"', twins, what="by").raters == ("a-b_c",)
    assert parse("a_d", twins, what="by").raters == ("a_d",)
    with pytest.raises(ExpressionError, match="there is no rater or sample field"):
        parse('"a_b_c"', twins, what="by")
    with pytest.raises(ExpressionError, match="there is no rater or sample field 'pickscore'"):
        parse("pickscore", cards, what="by")


def test_a_field_goes_before_a_rater_of_its_name(view: View) -> None:
    twins = View(path="", rows=0, groups=0, raters={"width": view.raters["pickscore"]})
    assert not parse("width", twins, what="by").raters
    assert parse("width.overall", twins, what="by").raters == ("width",)


def test_the_spread_is_known_for_a_rater_alone(view: View) -> None:
    assert parse("hps_v2", view, what="by").spread == "hps-v2.overall.spread"
    assert parse("hps_v2 * 2", view, what="by").spread is None
    assert parse("pickscore", view, what="by").spread is None


def test_wins_takes_numbers_of_single_samples(view: View) -> None:
    for text in ("prompt", "z(pickscore)"):
        with pytest.raises(ExpressionError, match="wins takes a number of each sample"):
            wins_of([text], view, what="wins")


def test_literals_are_bound_and_never_written_into_the_query(view: View, engine: Engine) -> None:
    hostile = "x'); DROP TABLE samples; --"
    expression = parse(f"prompt = '{hostile.replace(chr(39), chr(39) * 2)}'", view, what="where", wanted="boolean")
    assert hostile in expression.parameters.values()
    assert "DROP" not in expression.sql
    assert values(engine, expression) == {"a1": False, "a2": False}


def test_infinity_never_comes_out(view: View, engine: Engine) -> None:
    for text in ("1e308 * 10", "exp(710)", "pow(0, -1)", "-1 / nsfw", "mean_in_group(1e308 * (1 + width - width))"):
        found = values(engine, parse(text, view, what="by"))
        assert all(value is None or math.isfinite(float(str(value))) for value in found.values())
