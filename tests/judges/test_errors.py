"""What a user can get wrong with a server is one sentence and exit code 2, and leaves nothing; `--dry-run` asks nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from curate import api
from curate.testing.server import Behaviour, Request, Scripted, ScriptedServer, hash_oracle
from tests.cli.conftest import Curate
from tests.judges.numbered import EXAMINING, pairs_card, quick, text_card, write_groups, write_numbered

KEY = "sk-planted-0123456789"

GROUPS = 4


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_groups(tmp_path_factory.mktemp("shards") / "all", GROUPS)


def assert_one_sentence(result: Result, pattern: str) -> None:
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.strip().splitlines()
    assert re.fullmatch(f"error: {pattern}", line), line
    assert KEY not in result.output


def refused(curate: Curate, shards: str, *arguments: str | Path, pattern: str) -> None:
    """Nothing is rated, for a reason that is said."""
    assert_one_sentence(curate("rate", shards, "--workers", "0", "--store", "store", *arguments), pattern)
    assert not Path("store").exists(), sorted(Path("store").rglob("*"))


def test_a_server_that_is_away(curate: Curate, shards: str) -> None:
    with ScriptedServer() as server:
        url = server.url
    refused(curate, shards, "--rater", "vqa-yes", "--server", url, pattern=rf"no server answers at {url} \(.*\); start it, or .*")


def test_a_dry_run_with_nothing_to_ask_says_so(curate: Curate, shards: str) -> None:
    with ScriptedServer() as server:
        run = ("rate", shards, "--workers", "0", "--store", "store", "--rater", "vqa-yes", "--server", server.url, "--no-canary")
        curate(*run)
        result = curate(*run, "--dry-run", "--price", "1,2")
    assert result.exit_code == 0, result.output
    assert result.stdout == "Nothing would be asked.\n"


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://here/v1", "http://", "http://here:port/v1", "not an address"])
def test_an_address_that_is_none(curate: Curate, shards: str, url: str) -> None:
    refused(curate, shards, "--rater", "vqa-yes", "--server", url, pattern="the address of a server begins with http://.*")


@pytest.mark.parametrize("url", [f"http://me:{KEY}@127.0.0.1:1/v1", f"http://127.0.0.1:1/v1?api_key={KEY}"])
def test_a_key_in_the_address(curate: Curate, shards: str, url: str) -> None:
    refused(
        curate, shards, "--rater", "vqa-yes", "--server", url, pattern="the address of a server holds no user, password or .*"
    )


def test_a_rater_that_lacks_a_file_after_one_that_is_loaded(curate: Curate, shards: str) -> None:
    with ScriptedServer() as server:
        refused(
            curate, shards, "--rater", "vqa-yes", "--rater", "unifiedreward-point", "--server", server.url,
            pattern=r".*'weights.question.path': there is no file .*: get it from .*; the text of 819 characters .* it is in .*",
        )  # fmt: skip


def test_what_is_served_under_another_name(curate: Curate, shards: str) -> None:
    with ScriptedServer() as server:
        refused(
            curate, shards, "--rater", "vqa-yes", "--server", server.url, "--model", "scripted-judg",
            pattern=rf"{server.url} does not serve 'scripted-judg'\. Did you mean 'scripted-judge'\?",
        )  # fmt: skip
        refused(
            curate, shards, "--rater", "vqa-yes", "--server", server.url, "--model", "quite another",
            pattern=rf"{server.url} does not serve 'quite another'\. Known: scripted-judge\.",
        )  # fmt: skip
        assert not server.chats


def test_several_models_and_none_named(curate: Curate, shards: str) -> None:
    with ScriptedServer(behaviour=Behaviour(others=("aesthetic-judge",))) as server:
        refused(
            curate, shards, "--rater", "vqa-yes", "--server", server.url,
            pattern=rf"{server.url} serves 2 models; name the one to ask: aesthetic-judge, scripted-judge",
        )  # fmt: skip
        result = curate(
            "rate",
            shards,
            "--workers",
            "0",
            "--store",
            "store",
            "--rater",
            "vqa-yes",
            "--server",
            server.url,
            "--model",
            "scripted-judge",
        )
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize("logprobs", ["ignored", "rejected"])
def test_no_probabilities_where_the_rubric_needs_them(curate: Curate, shards: str, logprobs: Any, tmp_path: Path) -> None:
    with ScriptedServer(behaviour=Behaviour(logprobs=logprobs)) as server:
        refused(
            curate, shards, "--rater", "vqa-yes", "--server", server.url,
            pattern=rf"{server.url} returns no log-probabilities, which 'vqa-yes' needs; name a server that .*",
        )  # fmt: skip
        result = curate(
            "rate", shards, "--workers", "0", "--store", "store", "--rater", text_card(tmp_path), "--server", server.url
        )
        assert result.exit_code == 0, "a rubric that reads text needs none"


def test_no_word_of_why_answers_end_where_the_rubric_reads_texts(curate: Curate, shards: str, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        folder.mkdir()
    messages = [{"user": [{"picture": "response"}, "Mark it."]}]
    number = {"name": "marks", "messages": messages, "reads": {"number": {"range": [0, 10]}}, "may_be_cut": True}
    with ScriptedServer(lambda request: replace(hash_oracle(request), finish="perhaps")) as server:
        refused(
            curate, shards, "--rater", text_card(whole), "--server", server.url,
            pattern=rf"{server.url} does not say why its answers end \(finish_reason\), so .* which 'marks' needs; name .*",
        )  # fmt: skip
        for rater in ("vqa-yes", text_card(cut, calls=[number], values={"overall": "marks.value"})):
            report = api.rate(shards, raters=rater, store=tmp_path / rater.replace("/", ""), serving=quick(server), workers=0)
            (name,) = report.raters
            assert report.statuses[name].keys() <= {"ok", "parse_error"}, "it needs no texts that are whole"
            assert report.told[name]["requests"] >= GROUPS * 3


def test_what_a_policy_ends_is_refused_at_once(shards: str, tmp_path: Path) -> None:
    def blocks(request: Request) -> Scripted:
        return replace(hash_oracle(request), finish="SAFETY" if request.max_tokens == 200 else None)

    with ScriptedServer(blocks) as server:
        report = api.rate(shards, raters=text_card(tmp_path), store=tmp_path / "store", serving=quick(server), workers=0)
    assert report.statuses["marks"] == {"refused": GROUPS * 3}
    assert report.told["marks"]["requests"] == GROUPS * 3
    assert report.told["marks"]["prompt tokens"] > 0


def test_fewer_pictures_than_the_rubric_shows(curate: Curate, shards: str, tmp_path: Path) -> None:
    with ScriptedServer(behaviour=Behaviour(most_pictures=1)) as server:
        # Said before anything else is rated.
        refused(
            curate, shards, "--rater", "signal", "--rater", pairs_card(tmp_path), "--server", server.url,
            pattern=rf"{server.url} takes at most 1 picture in a request, and 'which' shows 2; start the server so .*",
        )  # fmt: skip
    with ScriptedServer(behaviour=Behaviour(most_pictures=0)) as server:
        refused(
            curate, shards, "--rater", "vqa-yes", "--server", server.url,
            pattern=rf"{server.url} takes no pictures, and 'vqa-yes' shows 1; start the server so .*",
        )  # fmt: skip


def test_a_key_that_is_missing_or_refused(curate: Curate, shards: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with ScriptedServer(behaviour=Behaviour(key=KEY)) as server:
        arguments = ("--rater", "vqa-yes", "--server", server.url)
        refused(curate, shards, *arguments, pattern=rf"{server.url} wants a key and none was sent; --key-from says where .*")
        refused(
            curate, shards, *arguments, "--key-from", "JUDGE_KEY",
            pattern="the environment variable JUDGE_KEY, which is to hold the server's key, is not set",
        )  # fmt: skip
        monkeypatch.setenv("JUDGE_KEY", f"{KEY}-wrong")
        refused(curate, shards, *arguments, "--key-from", "JUDGE_KEY", pattern=rf"{server.url} refuses the key.*")
        file = tmp_path / "key.txt"
        file.write_text(KEY)
        file.chmod(0o644)
        refused(
            curate, shards, *arguments, "--key-from", file,
            pattern=rf"the key in {file} can be read by others: run chmod 600 {file}",
        )  # fmt: skip
        file.chmod(0o600)
        result = curate("rate", shards, "--workers", "0", "--store", "store", *arguments, "--key-from", file)
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize("key", [KEY, "hf_plantedPlantedPlanted", "c2VjcmV0/cGxhbnRlZA=="])
def test_the_key_itself_in_place_of_its_name(curate: Curate, shards: str, key: str) -> None:
    """A slip that must not write the key into the terminal, or into the log of a store that is there."""
    with ScriptedServer() as server:
        assert (
            curate("rate", shards, "--workers", "0", "--store", "store", "--rater", "vqa-yes", "--server", server.url).exit_code
            == 0
        )
        result = curate(
            "rate", shards, "--workers", "0", "--store", "store", "--rater", "vqa-yes", "--server", server.url, "--key-from", key
        )
        assert_one_sentence(result, "--key-from names an environment variable or a file, and what it was given is neither; .*")
        assert key not in result.output
        log = Path("store/log.txt").read_text()
        assert key not in log
        assert "--key-from '[redacted]'" in log


def test_a_cache_that_knows_only_the_words(curate: Curate, shards: str) -> None:
    """Tested without being asked to, and not where that is not wanted."""
    known: dict[tuple[str, ...], Scripted] = {}
    with ScriptedServer(lambda request: known.setdefault(tuple(request.texts), hash_oracle(request))) as server:
        arguments = ("--rater", "vqa-yes", "--server", server.url)
        refused(
            curate, shards, *arguments, pattern=rf"{server.url} calls 8 pictures of 8 colours \w+, asked about one by one: .*"
        )
        result = curate("rate", shards, "--workers", "0", "--store", "store", *arguments, "--no-canary")
        assert result.exit_code == 0, result.output


def test_a_key_that_is_refused_in_the_middle(curate: Curate, tmp_path: Path) -> None:
    """What was answered before is kept, and the same command goes on."""
    many = write_numbered(tmp_path / "many", 60)
    with ScriptedServer(behaviour=Behaviour(refuses_key_after=30)) as server:
        result = curate(
            "rate", many, "--workers", "0", "--store", "store", "--rater", "vqa-yes", "--server", server.url, "--quiet",
            "--no-canary",
        )  # fmt: skip
        assert_one_sentence(result, rf"{server.url} wants a key and none was sent.*")
        server.behaviour = Behaviour()
        answered = server.completed.total() - EXAMINING
        report = api.rate(many, raters="vqa-yes", store="store", serving=quick(server), workers=1)
        assert report.statuses["vqa-yes"] == {"ok": 60}
        assert server.completed.total() == 60 + 2 * EXAMINING, f"{answered} were answered before"


def test_options_that_make_no_sense_without_a_server(curate: Curate, shards: str) -> None:
    for option in (("--budget", "5"), ("--budget-tokens", "5"), ("--key-from", "KEY")):
        pattern = rf"{option[0]} is about a server; say which with --server URL"
        refused(curate, shards, "--rater", "vqa-yes", *option, pattern=pattern)
    with ScriptedServer() as server:
        for price in ("5", "1,-1", "a,b", "1,nan", "1,2,3"):
            arguments = ("--server", server.url, "--dry-run", "--price", price)
            refused(curate, shards, "--rater", "vqa-yes", *arguments, pattern=r"--price takes two prices .*")
        refused(
            curate, shards, "--rater", "signal", "--server", server.url, "--dry-run",
            pattern="none of these raters asks a vision-language model, so there is nothing to estimate",
        )  # fmt: skip


# What a run would cost.


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_dry_run_says_what_a_run_then_asks(curate: Curate, shards: str, tmp_path: Path) -> None:
    cards = ["vqa-yes", text_card(tmp_path), pairs_card(tmp_path)]
    raters = [word for card in cards for word in ("--rater", card)]
    with ScriptedServer() as server:
        run = ("rate", shards, "--workers", "0", "--store", "store", *raters, "--server", server.url, "--json")
        told = json.loads(curate(*run, "--dry-run").stdout)["told"]
        assert not server.chats, "nothing is asked"
        assert not Path("store").exists(), "nothing is kept"
        asked = json.loads(curate(*run).stdout)["told"]
        pairs = GROUPS * 3 * 2
        for name, requests in (("vqa-yes", GROUPS * 3), ("marks", GROUPS * 3), ("which", pairs)):
            assert told[name]["requests"] == asked[name]["requests"] == requests
            assert told[name]["known already"] == asked[name]["known already"] == 0
            assert told[name]["prompt tokens"] == pytest.approx(asked[name]["prompt tokens"], rel=0.5)
            assert asked[name]["reply tokens"] <= told[name]["reply tokens"], "at most"
        before, chats = contents(Path("store")), len(server.chats)
        # A run that has nothing to ask examines the server all the same, unless it has nothing to rate either.
        again = json.loads(curate(*run, "--dry-run").stdout)["told"]
        assert again in ({}, {name: told[name] | (NOTHING if "cases" in told[name] else {}) for name in told})
        assert contents(Path("store")) == before, "the store is as it was, to the byte"
        assert len(server.chats) == chats


NOTHING = {"cases": 0, "requests": 0, "known already": 0, "prompt tokens": 0, "reply tokens": 0}


def test_a_dry_run_counts_only_what_is_missing(curate: Curate, shards: str, tmp_path: Path) -> None:
    with ScriptedServer() as server:
        run = ("rate", shards, "--workers", "0", "--store", "store", "--rater", "vqa-yes", "--server", server.url, "--json")
        curate(*run, "--budget", str(EXAMINING + 5), "--no-canary")
        before = contents(Path("store"))
        told = json.loads(curate(*run, "--dry-run").stdout)["told"]["vqa-yes"]
        assert contents(Path("store")) == before
        assert told["requests"] == GROUPS * 3 - 5
        asked = json.loads(curate(*run).stdout)["told"]["vqa-yes"]
        assert asked["requests"] == told["requests"]


def test_a_dry_run_says_the_price(curate: Curate, shards: str) -> None:
    with ScriptedServer() as server:
        arguments = ("--rater", "vqa-yes", "--server", server.url, "--dry-run", "--price", "2.0,10")
        result = curate("rate", shards, "--workers", "0", "--store", "store", *arguments)
    names, numbers = (line.split() for line in result.stdout.splitlines() if "price" in line or "vqa-yes" in line)
    told = dict(zip(["rater", "cases", "requests", "known", "prompt", "reply", "price"], numbers, strict=True))
    price = (float(told["prompt"].replace(",", "")) * 2 + float(told["reply"]) * 10) / 1e6
    assert names[-1] == "price"
    assert float(told["price"]) == pytest.approx(price, rel=1e-3)
