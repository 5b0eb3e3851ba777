"""The commands from shards to datasets, as a person would type them."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter
from typer.testing import Result

from curate.asks import Usage
from curate.store.replies import FILE as REPLIES
from curate.store.replies import Replies
from curate.testing import card_yaml, write_shard

Curate = Callable[..., Result]

GROUPS = 3
CANDIDATES = 3


def picture(seed: int, blur: int) -> bytes:
    """A PNG with detail; the more blur, the worse."""
    values = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    image = Image.fromarray(values).resize((96, 96), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(2 * blur))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards: three prompts with three candidates each, and a picture that is none."""
    folder = tmp_path_factory.mktemp("shards")
    records: list[tuple[str, dict[str, bytes]]] = [
        (f"g{group}-{blur}", {"png": picture(group, blur), "txt": f"prompt {group}".encode()})
        for group in range(GROUPS)
        for blur in range(CANDIDATES)
    ]
    write_shard(folder / "a.tar", records[:5])
    write_shard(folder / "b.tar", [*records[5:], ("broken", {"png": b"no picture", "txt": b"prompt 0"})])
    return folder


@pytest.fixture(scope="session")
def store(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shards, rated; tests only read it."""
    folder = tmp_path_factory.mktemp("rated") / "store"
    command = [sys.executable, "-m", "curate", "rate", f"{shards}/*.tar", "--rater", "signal", "--store", str(folder), "--quiet"]
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    return folder


def document(result: Result) -> dict[str, Any]:
    """The JSON that a command printed; it must be all that is on stdout."""
    assert result.exit_code in {0, 1}, result.stderr
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


def test_the_health_of_raters_is_shown(curate: Curate, shards: Path) -> None:
    curate("rate", f"{shards}/*.tar", "--rater", "signal", "--store", "store", "--quiet")
    assert "What judges were asked" not in curate("show", "store").stdout, "none was"
    with Replies(Path("store") / REPLIES) as replies:
        replies.add(b"key", "0" * 16, "{}", Usage(prompt_tokens=321, completion_tokens=1, seconds=2.5))
    (rater,) = document(curate("show", "store", "--json"))["raters"]
    assert rater["reasons"] == {name: {"decode_error": 1} for name in rater["dimensions"]}
    assert rater["dimensions"]["overall"]["deviation"]["within"] > 0
    printed = curate("show", "store").stdout
    assert all(word in printed for word in ("Health", "decode_error 1", "What judges were asked", "321", "2.5"))


def test_rating_counts_every_sample_and_computes_nothing_twice(curate: Curate, shards: Path) -> None:
    first = document(curate("rate", f"{shards}/*.tar", "--rater", "signal", "--store", "store", "--json"))
    assert first["computed"] == GROUPS * CANDIDATES + 1
    rated = first["funnels"][-1]
    assert (rated["in"], rated["out"], rated["dropped"]) == (10, 9, {"decode_error": 1})
    assert {rater: sum(counts.values()) for rater, counts in first["reasons"].items()} == {"signal": 1}
    assert "decode_error" in curate("rate", f"{shards}/*.tar", "--rater", "signal", "--store", "store").stdout
    assert document(curate("rate", f"{shards}/*.tar", "--rater", "signal", "--store", "store", "--json"))["computed"] == 0


def test_rating_logs_into_the_store(curate: Curate, shards: Path) -> None:
    curate("rate", f"{shards}/*.tar", "--rater", "signal", "--store", "store", "--quiet")
    log = Path("store/log.txt").read_text()
    assert "curate rate" in log
    assert "computed 10 ratings of 10 samples" in log


def test_a_shard_that_cannot_be_read_is_named_and_the_exit_code_says_so(curate: Curate, shards: Path, tmp_path: Path) -> None:
    (tmp_path / "garbage.tar").write_bytes(b"this is no archive" * 100)
    result = curate("rate", f"{shards}/a.tar", "garbage.tar", "--rater", "signal", "--store", "store", "--json")
    assert result.exit_code == 1
    assert f"note: not read: {tmp_path}/garbage.tar is not a tar archive" in result.stderr
    assert len(document(result)["unreadable"]) == 1


def test_showing_a_store(curate: Curate, store: Path) -> None:
    assert "signal" in curate("show", store).stdout
    assert document(curate("show", store, "--json"))


def test_showing_a_dataset_says_how_many_were_dropped_and_why(curate: Curate, store: Path) -> None:
    curate("pair", store, "--by", "signal", "--strategy", "all", "--max-per-group", "1", "--out", "pairs")
    row = next(line for line in curate("show", "pairs").stdout.splitlines() if "candidate pairs" in line)
    assert row.split() == ["pair", "candidate", "pairs", "9", "3", "6", "over_max_per_group", "6"]


@pytest.mark.parametrize(
    ("name", "next_step"),
    [("SHARDS", "curate rate"), ("SHARDS/*.tar", "curate rate"), ("SHARDS/a.tar", "curate rate"), ("r.parquet", "curate export")],
)
def test_showing_something_else_says_what_to_do_next(
    curate: Curate, shards: Path, store: Path, name: str, next_step: str
) -> None:
    curate("rank", store, "--by", "signal", "--out", "r.parquet")
    result = curate("show", name.replace("SHARDS", str(shards)))
    assert result.exit_code == 2
    (sentence,) = result.stderr.splitlines()
    assert sentence.startswith("error: ")
    assert next_step in sentence


def test_filtering(curate: Curate, store: Path) -> None:
    result = curate("filter", store, "--where", "signal > 0", "--top", "1", "--by", "signal", "--per", "group", "--out", "kept")
    assert result.exit_code == 0, result.stderr
    assert "written to kept" in result.stderr
    assert list(Path("kept").glob("**/*.tar"))


def test_ranking_and_exporting_the_ranking(curate: Curate, store: Path) -> None:
    document(curate("rank", store, "--by", "signal", "--out", "ranking.parquet", "--json"))
    exported = document(curate("export", store, "ranking.parquet", "--format", "rankdpo", "--out", "lists", "--json"))
    assert exported["out"] == "lists"
    assert document(curate("check", "lists", "--json"))["ok"]


def test_pairing_and_checking(curate: Curate, store: Path) -> None:
    report = document(curate("pair", store, "--by", "signal", "--out", "pairs", "--json"))
    for funnel in report["funnels"]:
        assert funnel["in"] == funnel["out"] + sum(funnel["dropped"].values())
    assert document(curate("check", "pairs", "--json"))["ok"]


def test_a_damaged_dataset_fails_the_check(curate: Curate, store: Path) -> None:
    curate("pair", store, "--by", "signal", "--format", "win-lose-folders", "--out", "pairs")
    victim = next(path for path in sorted(Path("pairs").rglob("win/*")) if path.suffix != ".txt")
    victim.write_bytes(victim.read_bytes()[:100])
    result = curate("check", "pairs")
    assert result.exit_code == 1
    assert victim.name in result.stdout


def test_findings_beyond_the_first_are_pointed_to(curate: Curate, store: Path) -> None:
    curate("pair", store, "--by", "signal", "--format", "win-lose-folders", "--out", "pairs")
    victims = [path for path in sorted(Path("pairs").rglob("win/*")) if path.suffix != ".txt"]
    for number, more in enumerate([False, True]):
        victims[number].write_bytes(b"no picture")
        Path("pairs/curate.json").unlink(missing_ok=True)
        shown = curate("check", "pairs", "--format", "win-lose-folders").stdout
        assert shown.rstrip().endswith("all of them: --json") is more


@pytest.mark.parametrize("verb", ["filter", "rank", "pair"])
def test_the_command_that_a_dataset_repeats_parses(curate: Curate, store: Path, verb: str) -> None:
    """Every dataset says which command makes it again; that command has to be one."""
    options = {
        "filter": ["--where", "signal > 0", "--top", "50%", "--by", "signal", "--per", "group"],
        "rank": ["--by", "signal", "--where", "width > 10", "--tie", "0.01", "--format", "rankdpo"],
        "pair": ["--by", "signal", "--min-margin", "0.01", "--agree", "signal.sharpness", "--seed", "3", "--max-per-group", "2"],
    }[verb]
    assert curate(verb, store, *options, "--out", "first").exit_code == 0
    readme = Path("first/README.md").read_text()
    line = next(line for line in readme.splitlines() if line.lstrip("`$ ").startswith(f"curate {verb} "))
    words = shlex.split(line.strip("`$ "))[1:]
    words[words.index("--out") + 1] = "again"
    words[1] = str(store)
    assert curate(*words).exit_code == 0
    assert {path.name for path in Path("first").rglob("*")} == {path.name for path in Path("again").rglob("*")}


def test_shards_may_stand_in_the_place_of_a_store(curate: Curate, shards: Path) -> None:
    arguments = [f"{shards}/*.tar", "--rater", "signal", "--by", "signal"]
    result = curate("pair", *arguments, "--out", "pairs")
    assert result.exit_code == 0, result.stderr
    assert "computed 10 ratings" in result.stderr
    assert "computed 0 ratings" in curate("pair", *arguments, "--out", "pairs-2").stderr
    assert len(list(Path(".curate").iterdir())) == 1


def test_a_new_card_that_is_not_finished_is_said_with_what_to_do(curate: Curate, shards: Path, tmp_path: Path) -> None:
    """The latest card of a name counts, and alone; nobody has to find out by a ranking that is short."""
    every, half = f"{shards}/*.tar", f"{shards}/a.tar"
    for version, rated in (1, every), (2, half):
        card_yaml(tmp_path / "mine.yaml", name="mine", target="curate.testing:HashRater", version=version)
        assert curate("rate", rated, "--rater", "mine.yaml", "--rater", "signal", "--store", "store").exit_code == 0
    raters = document(curate("show", "store", "--json"))["raters"]
    assert {rater["latest"]: rater["statuses"] for rater in raters if rater["name"] == "mine"} == {
        False: {"ok": 10},
        True: {"ok": 5},
    }
    sentence = "5 samples were rated by an older card named 'mine', and not by the latest"
    for command in (
        ("rank", "store", "--by", "mine", "--out", "ranking.parquet"),
        ("filter", "store", "--where", "mine >= 0", "--format", "ids", "--out", "kept"),
    ):
        result = curate(*command)
        assert result.exit_code == 0, result.stderr
        assert [line for line in result.stderr.splitlines() if line.startswith(f"note: {sentence}")], result.stderr
        assert "curate rate SHARDS --rater mine=CARD --store store" in result.stderr
    assert sentence in curate("filter", "store", "--where", "mine > 2", "--format", "ids", "--out", "none").stderr
    assert sentence not in curate("rank", "store", "--by", "signal", "--out", "signal.parquet").stderr, "another rater"
    curate("rate", every, "--rater", "mine.yaml", "--store", "store")
    assert "older" not in curate("rank", "store", "--by", "mine", "--out", "ranking.parquet").stderr, "finished"


def test_a_pipe_is_no_shard_and_nobody_waits_for_it(curate: Curate) -> None:
    os.mkfifo("pipe.tar")
    result = curate("rate", "pipe.tar", "--rater", "signal", "--store", "store")
    assert result.exit_code == 2
    assert re.fullmatch(r"error: pipe\.tar is a pipe, a socket or a device, .*\n", result.stderr)


def test_a_link_to_a_shard_that_is_given_too_is_said(curate: Curate, shards: Path) -> None:
    Path("link.tar").symlink_to(shards / "a.tar")
    result = curate("rate", shards / "a.tar", "link.tar", "--rater", "signal", "--store", "store")
    assert f"read once: {Path('link.tar').absolute()} is {shards}/a.tar\n" in result.stderr
    assert "5 samples" in result.stderr
    assert "(1 shard," in result.stderr


def test_shards_are_rated_into_the_store_that_is_named(curate: Curate, shards: Path) -> None:
    curate("rank", f"{shards}/a.tar", "--rater", "signal", "--store", "mine", "--by", "signal", "--out", "r.parquet")
    assert Path("mine/store.json").exists()
    assert not Path(".curate").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["rate", "none/*.tar", "--rater", "signal", "--store", "s"], "none/"),
        (["rate", "SHARDS", "--rater", "signl", "--store", "s"], "Did you mean 'signal'"),
        (["rate", "SHARDS", "--rater", "Old=signal", "--store", "s"], "'Old' cannot name a rater; write NAME=CARD"),
        (["rate", "SHARDS", "--rater", "old=signl", "--store", "s"], "Did you mean 'signal'"),
        (["rate", "SHARDS", "--rater", "signal", "--store", "s", "--retry", "transint"], "Did you mean 'transient'"),
        (["rate", "SHARDS", "--rater", "signal", "--store", "s", "--layout", "none-such"], "layout"),
        (["rate", "SHARDS", "--rater", "signal", "--store", "s", "--layout", "./no.yaml"], "error: there is no layout ./no.yaml"),
        (
            ["rate", "SHARDS", "--rater", "signal", "--store", "s", "--layout", "SHARDS/.."],
            ": Is a directory; a layout is a YAML",
        ),
        (["rate", "SHARDS", "--rater", "signal", "--store", "s", "--device", "gpu0"], "error: --device is auto, cpu, cuda"),
        (["rate", "SHARDS", "--rater", "signal", "--store", "/proc/s"], "error: cannot write /proc/s: no folder can be made in"),
        (["show", "nowhere"], "nowhere"),
        (["filter", "nowhere", "--where", "signal > 0", "--out", "o"], "nowhere"),
        (["filter", "STORE", "--where", "signl > 0", "--out", "o"], "signal"),
        (["filter", "STORE", "--where", "signal > 0", "--format", "shard", "--out", "o"], "Did you mean 'shards'"),
        (["rank", "STORE", "--by", "sinal.sharpness", "--out", "o"], "signal"),
        (["pair", "STORE", "--by", "signal", "--strategy", "best-wrst", "--out", "o"], "best-worst"),
        (["pair", "a", "b", "--by", "signal", "--out", "o"], "--rater"),
        (["pair", "SHARDS", "--by", "signal", "--out", "o"], "is no store; to rate shards first, say with which --rater"),
        (["rank", "SHARDS/..", "--by", "signal", "--out", "o"], "--rater"),
        (["filter", "data/{000..127}.tar", "--where", "signal > 0", "--out", "o"], "--rater"),
        (["filter", "s3://bucket/a.tar", "--where", "signal > 0", "--out", "o"], "--rater"),
        (["pair", "STORE", "--by", "signal", "--min-margin", "big", "--out", "o"], "error: --min-margin is 'big'"),
        (["pair", "STORE", "--by", "signal", "--agree", "signal", "--agree", "x y", "--out", "o"], "error: --agree number 2, "),
        (["pair", "STORE", "--by", "signal", "--split", "test=5", "--out", "o"], "error: --split: the share of 'test' is '5'"),
        (["filter", "STORE", "--top", "many", "--by", "signal", "--out", "o"], "error: --top is 'many'"),
        (["filter", "STORE", "--out", "o"], "give --where, or --top with --by"),
        (["pair", "STORE", "--by", "sharpness", "--out", "o"], "error: --by, position 1: there is no rater or sample field"),
        (["pair", "STORE", "--by", "sharpness", "--out", "o"], "Did you mean 'signal.sharpness'?"),
        (["pair", "STORE", "--store", "s", "--by", "signal", "--out", "o"], "--rater"),
        (["export", "STORE", "none.parquet", "--format", "rankdpo", "--out", "o"], "none.parquet"),
        (["check", "nowhere"], "nowhere"),
        (["raters", "signl"], "Did you mean 'signal'"),
        (["raters", "./none.yaml"], "none.yaml"),
    ],
)
def test_a_mistake_is_one_sentence(curate: Curate, shards: Path, store: Path, arguments: list[str], sentence: str) -> None:
    names = {"SHARDS": f"{shards}/*.tar", "SHARDS/..": str(shards), "STORE": str(store)}
    result = curate(*[names.get(argument, argument) for argument in arguments])
    assert result.exit_code == 2
    last = result.stderr.strip().splitlines()[-1]
    assert re.match(r"error: ", result.stderr) or last.startswith("error: ")
    assert sentence in last
    assert result.stdout == ""
    assert list(Path().iterdir()) == [], "nothing is left of what was refused"


@pytest.mark.parametrize(
    "arguments", [["rate"], ["nonsense"], ["pair", "s", "--by"], ["rate", "a", "--workers", "many"], ["show", "a", "b"]]
)
def test_wrong_usage_exits_2(curate: Curate, arguments: list[str]) -> None:
    result = curate(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["filter", "rank", "pair"])
def test_a_result_goes_into_no_pipe(curate: Curate, store: Path, command: str) -> None:
    result = curate(command, store, "--where" if command == "filter" else "--by", "signal", "--out", "-")
    assert result.exit_code == 2
    assert "not into a" in result.stderr
    assert list(Path().iterdir()) == []


def test_an_output_that_is_there_is_not_overwritten(curate: Curate, store: Path) -> None:
    Path("pairs").mkdir()
    Path("pairs/mine.txt").write_text("precious")
    assert curate("pair", store, "--by", "signal", "--out", "pairs").exit_code == 2
    assert [path.name for path in Path("pairs").iterdir()] == ["mine.txt"]


def test_ctrl_c_is_one_line_and_the_same_command_goes_on(shards: Path, tmp_path: Path) -> None:
    log = tmp_path / "asked.txt"
    card_yaml(tmp_path / "slow.yaml", name="slow", target="curate.testing:HashRater", args={"seconds": 0.2, "log": str(log)})
    command = [
        sys.executable,
        "-m",
        "curate",
        "rate",
        f"{shards}/a.tar",
        "--rater",
        "./slow.yaml",
        "--store",
        "store",
        "--batch-size",
        "1",
        "--trust",
    ]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Whoever runs the tests in the background has Ctrl-C ignored, and children inherit that.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    deadline = time.monotonic() + 30
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert said.splitlines()[-1] == "stopped; run the same command to go on"
    assert "stopping: what is being judged is waited for a little, and kept; Ctrl-C again to stop at once" in said
    assert "Traceback" not in said
    again = subprocess.run(
        [*command, "--json"], cwd=tmp_path, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    assert json.loads(again.stdout)["funnels"][-1]["out"] == 5


@pytest.mark.parametrize("name", ["signal", None])
def test_raters(curate: Curate, name: str | None) -> None:
    result = curate("raters", *([name] if name else []))
    assert result.exit_code == 0
    assert "signal" in result.stdout
    listed = document(curate("raters", *([name] if name else []), "--json"))
    cards = [listed] if name else listed["raters"]
    assert all(re.fullmatch(r"[0-9a-f]{16}", card["fingerprint"]) for card in cards)


def test_a_card_of_ones_own_is_shown_too(curate: Curate, tmp_path: Path) -> None:
    card_yaml(tmp_path / "mine.yaml", name="mine", target="curate.testing:HashRater", dimensions=("a", "b"))
    result = curate("raters", "./mine.yaml")
    assert "mine" in result.stdout
    assert "curate.testing:HashRater" in result.stdout


def test_the_version(curate: Curate) -> None:
    import curate as package

    assert curate("--version").stdout == f"curate {package.__version__}\n"


def test_python_m_curate_is_the_command(curate_process: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    assert "Usage: curate " in curate_process("--help").stdout


def test_a_terminal_without_unicode_gets_question_marks_and_whole_json(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "curate", "raters", "signal"]
    shown = subprocess.run(command, env=environment, capture_output=True, check=True, cwd=tmp_path)
    assert b"?" in shown.stdout
    printed = subprocess.run([*command, "--json"], env=environment, capture_output=True, check=True, cwd=tmp_path)
    assert "Süsstrunk" in json.loads(printed.stdout)["paper"]


def test_a_reader_that_goes_away_is_no_bug(tmp_path: Path) -> None:
    command = f"{shlex.quote(sys.executable)} -m curate raters --json | head -c 10"
    piped = subprocess.run(command, shell=True, capture_output=True, text=True, check=False, cwd=tmp_path)  # noqa: S602
    assert "Traceback" not in piped.stderr


def test_a_selection_from_shards_that_are_not_whole_says_so_in_its_exit_code(
    curate: Curate, shards: Path, tmp_path: Path
) -> None:
    (tmp_path / "cut.tar").write_bytes((shards / "b.tar").read_bytes()[:20_000])
    told = ("--rater", "signal", "--store", "s", "--where", "signal > 0")
    assert curate("filter", shards / "a.tar", *told, "--out", "whole").exit_code == 0
    result = curate("filter", shards / "a.tar", "cut.tar", *told, "--out", "kept")
    assert result.exit_code == 1
    assert "cut short" in result.stderr
    assert (tmp_path / "kept" / "curate.json").exists()
