"""Cards: the contract that every shipped one keeps, and what is said about one that is wrong."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from curate.cards import CardFile, load_card, parse_card, shipped_cards, shipped_names
from curate.errors import CardError
from curate.records import View
from curate.rubrics.loading import load_method
from curate.scorers.golden import load_golden
from curate.testing import card_yaml
from tests import generated

ROOT = Path(__file__).parents[1]
CARDS = shipped_cards()


def made(**changes: object) -> str:
    """A small card as YAML, with changes; a field changed to None is left out."""
    fields = {
        "name": "tiny",
        "version": 1,
        "about": "a card for tests",
        "target": "curate.scorers.measures.signal:Signal",
        "dimensions": {"overall": {"range": [0, 1]}},
        "main": "overall",
    } | changes
    return yaml.safe_dump({name: value for name, value in fields.items() if value is not None})


# The contract.


@pytest.mark.parametrize("file", CARDS.values(), ids=CARDS)
class TestEveryShippedCard:
    def test_says_what_people_must_know(self, file: CardFile) -> None:
        card = file.card
        assert card.licence != "unknown", "say the licence, or what is not known about it"
        assert card.paper or card.source or card.notes, "name the paper or the source, or say in notes that it is our own"
        assert "\n" not in card.about
        assert len(card.about) <= 160
        assert all(dimension.about for dimension in card.dimensions.values())
        if re.search(r"\b(none|unknown|no licence)\b", card.licence):
            assert card.commercial is False, "what nobody allowed is not allowed"
        if card.commercial is None:
            assert card.notes, "say in notes why commercial use is left open"

    def test_lies_in_a_file_of_its_name(self, file: CardFile) -> None:
        assert Path(file.where).stem == file.card.name
        assert load_card(file.card.name).card == file.card

    def test_names_an_engine_that_is_there(self, file: CardFile) -> None:
        module, factory = file.card.target.split(":")
        spec = importlib.util.find_spec(module)
        assert spec is not None
        assert spec.origin is not None
        source = Path(spec.origin).read_text(encoding="utf-8")
        assert re.search(rf"^(class|def) {factory}\b", source, re.MULTILINE), "read, not imported: its extra may be missing"

    def test_names_an_extra_that_can_be_installed(self, file: CardFile) -> None:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
        assert file.card.extra is None or file.card.extra in extras

    def test_pins_its_weights(self, file: CardFile) -> None:
        for weights in file.card.weights.values():
            if weights.hub and weights.revision == "unpinned":
                assert "unpinned" in (file.card.notes or ""), "say in notes why the revision is unpinned"
            elif weights.hub:
                assert re.fullmatch(r"[0-9a-f]{40}", weights.revision or ""), "a revision is a commit hash"
            else:
                pinned = weights.sha256 or "unpinned" in (file.card.notes or "")
                assert pinned, "a file that does not come from the hub is pinned by its SHA-256, or notes say why it is not"

    def test_has_the_golden_numbers_it_names(self, file: CardFile) -> None:
        golden = load_golden(file)
        if golden is None:
            return
        for case in [*golden.published, *golden.measured]:
            assert not isinstance(case.expected, tuple) or len(case.expected) == len(file.card.dimensions)
            assert not isinstance(case.expected, Mapping) or set(case.expected) <= set(file.card.dimensions)
        assert golden.published or golden.measured or golden.head or golden.unverified, "say what is not verified"


def test_what_is_generated_is_current() -> None:
    old = [path.name for path, text in generated.files().items() if path.read_text(encoding="utf-8") != text]
    assert old == [], "run `make generated`"


def test_every_golden_file_belongs_to_a_card_and_keeps_the_schema() -> None:
    import jsonschema

    schema = json.loads((ROOT / "schemas" / "golden.schema.json").read_text(encoding="utf-8"))
    named = {file.card.parity for file in CARDS.values()}
    for path in (ROOT / "tests" / "golden").glob("*.json"):
        assert path.name in named, f"no card names {path.name}"
        jsonschema.validate(json.loads(path.read_text(encoding="utf-8")), schema)


def test_the_cards_in_the_guide_hold_together() -> None:
    guide = (ROOT / "annotators" / "README.md").read_text(encoding="utf-8")
    texts = re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)
    cards = [parse_card(text, where="annotators/README.md") for text in texts]
    assert len({card.name for card in cards}) == len(cards) >= 5
    rubrics = [CardFile(card=card, where=card.name, shipped=False) for card in cards if card.target.startswith("curate.judges.")]
    assert [type(load_method(file)).__name__ for file in rubrics] == ["Calls", "Pairwise"]
    assert [
        target for file in CARDS.values() if f"`{(target := file.card.target).removeprefix('curate.scorers.')}`" not in guide
    ] == []


# The fingerprint.


def test_the_fingerprint_covers_what_decides_a_number_and_nothing_else() -> None:
    base = parse_card(made(), where="base").fingerprint
    for change in (
        {"about": "other words"},
        {"licence": "MIT"},
        {"notes": "n", "paper": "p", "trained_on": "t"},
        {"dimensions": {"overall": {"about": "x", "range": [0, None]}}},
    ):
        assert parse_card(made(**change), where="same").fingerprint == base, change
    for change in (
        {"version": 2},
        {"args": {"size": 224}},
        {"target": "curate.scorers.adapters.onnx:OnnxModel"},
        {"higher_is_better": False},
        {"takes": {"prompt": "required"}},
        {"dimensions": {"overall": {}, "other": {}}},
        {"weights": {"model": {"hub": "a/b", "revision": "unpinned"}}},
        {"name": "other"},
    ):
        assert parse_card(made(**change), where="other").fingerprint != base, change


def test_weights_count_by_what_they_are_and_not_by_where_they_lie() -> None:
    digest = "0" * 64
    places = [{"model": {"path": place, "sha256": digest}} for place in ("here/model.onnx", "/there/model.onnx")]
    prints = {parse_card(made(weights=weights), where="w").fingerprint for weights in places}
    assert len(prints) == 1


# What is said about a card that is wrong.


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (made(verson=1), r"field 'verson': there is no such field\. Did you mean 'version'\?"),
        (made(weights={"model": {"hubb": "a/b"}}), r"field 'weights\.model\.hubb'.*Did you mean 'hub'\?"),
        (made(takes={"promt": "required"}), r"field 'takes\.promt'.*Did you mean 'prompt'\?"),
        (made(version="1"), "field 'version': it should be a valid integer"),
        (made(version=True), "field 'version': it should be a valid integer"),
        (made(version=0), "field 'version'"),
        (made(higher_is_better="no"), "field 'higher_is_better'"),
        (made(name="Über uns"), "field 'name': 'Über uns' should be a name of small letters"),
        (made(name=None), "field 'name': it is missing"),
        (made(target="os.system"), r"field 'target': 'os\.system' should be a module and what it holds"),
        (made(target="curate.scorers.measures.signal:Signal()"), "field 'target'"),
        (made(takes="image"), "field 'takes': it should be a mapping of fields"),
        (made(main="sharpness"), "^mine.yaml: main is 'sharpness', which is not among the dimensions overall"),
        (made(dimensions={}), "at least one dimension"),
        (made(dimensions={"status": {}}, main="status"), "'status' cannot name a dimension"),
        (made(dimensions={"overall": {"range": [1, -1]}}), "the lowest value comes first and the highest second, not 1 and -1"),
        (made(dimensions={"overall": {"range": [0, 1, 2]}}), r"field 'dimensions\.overall\.range"),
        (made(judges="people"), "field 'judges'"),
        (made(weights={"model": {"hub": "a/b"}}), "weights from the hub need a revision"),
        (made(weights={"model": {"hub": "a/b", "revision": "x", "path": "y"}}), "exactly one of hub, path, package"),
        (made(weights={"model": {"path": "y", "sha256": "abc"}}), r"field 'weights\.model\.sha256'"),
        (made() + "name: again\n", r"line \d+: the key 'name' stands twice"),
        (made() + "1: one\n", "the key 1 is not text"),
        (made() + "args: {size: .nan}\n", "neither text nor number"),
        (made() + "args: {since: 2024-01-01}\n", "neither text nor number"),
        (made() + "args: {bytes: !!binary aGk=}\n", "neither text nor number"),
        (made() + 'args: {text: "\\ud800"}\n', "neither text nor number"),
        (made() + "args: {run: !!python/object/apply:os.system [id]}\n", "could not determine a constructor"),
        (made() + "args: {run: !!python/name:os.system }\n", "could not determine a constructor"),
        ("- a\n- list\n", "expected a mapping of fields, found list"),
        ("", "expected a mapping of fields, found NoneType"),
        ("name: [unclosed", r"line \d+"),
        ("a: &a [" + ", ".join(["*a"] * 70) + "]\n", "more than 64 aliases"),
        ("a: " + "[" * 1200 + "]" * 1200, "deep|recursion"),
        ("a: " + "x" * (1 << 21), "larger than"),
    ],
)
def test_a_wrong_card_is_one_sentence(text: str, said: str) -> None:
    with pytest.raises(CardError, match=said) as raised:
        parse_card(text, where="mine.yaml")
    assert str(raised.value).startswith("mine.yaml")
    assert "\n" not in str(raised.value)


def test_a_bomb_of_aliases_costs_nothing() -> None:
    """Nine levels of nine aliases would be 400 million entries."""
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 10)]
    with pytest.raises(CardError, match="aliases"):
        parse_card("\n".join(levels), where="bomb.yaml")


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(CardError, match=r"no card is named 'signl'\. Did you mean 'signal'\?.*path of a YAML card"):
        load_card("signl")


def test_a_card_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"there is no card .*missing\.yaml"):
        load_card(str(tmp_path / "missing.yaml"))
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CardError, match=r"cannot read the card .*binary\.yaml"):
        load_card(str(tmp_path / "binary.yaml"))


def test_a_card_by_path_is_not_taken_for_a_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "signal.yaml").write_text(made(name="signal"))
    assert load_card(str(tmp_path / "signal.yaml")).shipped is False
    assert load_card("signal").shipped is True


def test_other_weights_at_the_same_path_are_another_rater(tmp_path: Path) -> None:
    weights = tmp_path / "weights.bin"
    path = tmp_path / "mine.yaml"
    path.write_text(
        "{name: mine, version: 1, about: x, target: 'curate.testing:HashRater', dimensions: {overall: {}}, main: overall,"
        " weights: {model: {path: weights.bin}}}"
    )
    weights.write_bytes(b"one")
    before = load_card(str(path)).card.fingerprint
    assert load_card(str(path)).card.fingerprint == before
    weights.write_bytes(b"two")
    assert load_card(str(path)).card.fingerprint != before


# Another name for a card.


def test_the_names_of_shipped_cards_are_those_of_their_files() -> None:
    assert shipped_names() == set(CARDS)


def test_a_card_under_another_name_is_another_rater_and_the_same_else(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text(made())
    plain, named = load_card(str(path)), load_card(f"old_tiny={path}")
    assert named.card.name == "old_tiny"
    assert (named.where, named.shipped) == (plain.where, False)
    assert named.card == parse_card(made(name="old_tiny"), where="w")
    assert named.card.fingerprint == parse_card(made(name="old_tiny"), where="w").fingerprint != plain.card.fingerprint
    assert load_card("mine=signal").shipped is True
    assert load_card("mine=signal").card.name == "mine"
    assert load_card("signal").card.name == "signal", "the shipped one keeps its name"


def test_a_path_with_an_equals_sign_is_a_path_where_the_file_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lr=3.yaml").write_text(made())
    assert load_card("lr=3.yaml").card.name == "tiny"
    assert load_card(f"mine={tmp_path}/lr=3.yaml").card.name == "mine"
    with pytest.raises(CardError, match=r"there is no card 4\.yaml"):
        load_card("lr=4.yaml")


@pytest.mark.parametrize("name", ["", "Old", "old clip", "./old", "1st", "a--b"])
def test_a_name_that_no_rater_can_have_is_a_sentence(name: str) -> None:
    with pytest.raises(CardError) as raised:
        load_card(f"{name}=signal")
    assert str(raised.value) == (
        f"'{name}=signal' is no file, and '{name}' cannot name a rater; write NAME=CARD, with a name of small letters, digits,"
        " '_' and dashes that begins with a letter"
    )


@pytest.mark.parametrize("spec", [f"mine={'y' * 400}", f"{'z' * 5000}"])
def test_a_name_that_is_too_long_for_a_file_is_a_sentence(spec: str) -> None:
    with pytest.raises(CardError):
        load_card(spec)


@pytest.mark.parametrize("name", View.FIELDS)
def test_a_rater_is_not_named_like_a_field_of_the_sample(name: str, tmp_path: Path) -> None:
    card = card_yaml(tmp_path / "card.yaml", name=name, target="curate.testing:HashRater")
    for spec in (f"{name}=signal", str(card)):
        with pytest.raises(CardError, match=f"'{name}' is a field of the sample.* my_{name}=CARD"):
            load_card(spec)
    assert load_card(f"my_{name}={card}").card.name == f"my_{name}"


def test_a_name_for_no_card_is_a_sentence() -> None:
    with pytest.raises(CardError, match="no card is named 'signl'. Did you mean 'signal'"):
        load_card("mine=signl")
