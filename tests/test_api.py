"""The public verbs end to end: shards in, ratings kept, datasets out."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import zstandard

import curate
from curate import select
from curate.bridge import gone_shards
from curate.errors import CurateError
from curate.store import Store
from curate.testing import card_yaml, write_shard
from tests.rating.conftest import png

Place = Callable[[str], Path]


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    """Three shards: 12 prompts with four candidates each, a side file in every record."""
    folder = tmp_path / "shards"
    folder.mkdir()
    return [write_shard(folder / f"{n}.tar", map(record, range(16 * n, 16 * n + 16))) for n in range(3)]


@pytest.fixture
def mixed(tmp_path: Path) -> list[Path]:
    """The same records in three shards over which the candidates of each prompt are spread."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    return [write_shard(folder / f"{n}.tar", map(record, range(n, 48, 3))) for n in range(3)]


def record(n: int) -> tuple[str, dict[str, bytes]]:
    fields = {"png": png(n), "txt": f"prompt {n // 4}".encode(), "json": b'{"seed": %d}' % n, "mask.npy": b"\x93NUMPY%d" % n}
    return f"{n:04d}", fields


@pytest.fixture
def hash_card(tmp_path: Path) -> str:
    return str(
        card_yaml(tmp_path / "hash.yaml", name="hash", target="curate.testing:HashRater", args={"log": str(tmp_path / "log")})
    )


def rate(shards: list[Path], store: Path, *raters: str) -> None:
    curate.rate([str(shard) for shard in shards], raters=raters, store=store, workers=0, trust=True)


def members(folder: Path) -> dict[str, bytes]:
    found = {}
    for shard in sorted(folder.glob("*.tar")):
        with tarfile.open(shard) as archive:
            for info in archive:
                file = archive.extractfile(info)
                assert file is not None
                assert info.name not in found
                found[info.name] = file.read()
    return found


def test_another_threshold_calls_no_rater(shards: list[Path], hash_card: str, tmp_path: Path) -> None:
    rate(shards, tmp_path / "store", hash_card)
    asked = (tmp_path / "log").read_text()
    (tmp_path / "hash.yaml").unlink()  # not even the card is needed any more
    for number, margin in enumerate(("0", "0.2", "0.5sd")):
        report = curate.pair(tmp_path / "store", by="hash", strategy="all", min_margin=margin, out=tmp_path / f"pairs-{number}")
        assert all(funnel.adds_up for funnel in report.funnels)
    assert (tmp_path / "log").read_text() == asked


def test_original_bytes_keys_and_side_files_survive(shards: list[Path], hash_card: str, tmp_path: Path) -> None:
    rate(shards, tmp_path / "store", hash_card)
    curate.filter(tmp_path / "store", where="hash > 0.5", out=tmp_path / "kept")
    before, after = members(tmp_path / "shards"), members(tmp_path / "kept")
    own = {name for name in after if not name.endswith(".ratings.json")}
    assert 0 < len(own) < len(before)
    assert all(after[name] == before[name] for name in own)
    keys = {name.split(".")[0] for name in own}
    assert own == {name for name in before if name.split(".")[0] in keys}


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".zst", zstandard.compress)])
def test_compressed_shards_give_the_same_datasets(
    shards: list[Path], hash_card: str, tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    packed = []
    for shard in shards:
        packed.append(shard.with_name(shard.name + suffix))
        packed[-1].write_bytes(pack(shard.read_bytes()))
    rate(shards, tmp_path / "plain", hash_card)
    rate(packed, tmp_path / "packed", hash_card)
    for store in ("plain", "packed"):
        curate.pair(tmp_path / store, by="hash", strategy="adjacent", split="test=25%", out=tmp_path / f"{store}-dpo")
    for file in sorted((tmp_path / "plain-dpo").glob("*.parquet")):
        assert pq.read_table(file).equals(pq.read_table(tmp_path / "packed-dpo" / file.name))


def test_a_remote_shard_goes_the_whole_way(shards: list[Path], hash_card: str, tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/one.tar", shards[0].read_bytes())
    try:
        curate.rate("memory://bucket/one.tar", raters=[hash_card], store=tmp_path / "remote", workers=0, trust=True)
        curate.filter(tmp_path / "remote", where="hash >= 0", out=tmp_path / "kept")
    finally:
        memory.rm("/bucket", recursive=True)
    with tarfile.open(shards[0]) as archive:
        names = set(archive.getnames())
    assert names <= set(members(tmp_path / "kept"))


def test_two_raters_rank_together_and_prompts_stay_on_one_side(shards: list[Path], hash_card: str, tmp_path: Path) -> None:
    rate(shards, tmp_path / "store", hash_card, "signal")
    report = curate.pair(
        tmp_path / "store", by="z(hash) + 0.2 * z(signal.overall)", agree=["hash", "signal"], at_least=1, split="test=30%",
        strategy="all", out=tmp_path / "dpo",
    )  # fmt: skip
    assert all(funnel.adds_up for funnel in report.funnels)
    assert curate.check(tmp_path / "dpo").ok
    prompts = {file.name.split("-")[0]: set(pq.read_table(file, columns=["caption"])["caption"].to_pylist()) for file in
               (tmp_path / "dpo").glob("*.parquet")}  # fmt: skip
    assert prompts["train"].isdisjoint(prompts["test"])
    shown = curate.show(tmp_path / "dpo").as_dict()
    assert shown["format"] == "diffusers-dpo"


def test_the_verbs_keep_their_names_after_use(shards: list[Path], hash_card: str, tmp_path: Path) -> None:
    rate(shards, tmp_path / "store", hash_card)
    rate(shards, tmp_path / "store", hash_card)
    assert callable(curate.rate)
    assert callable(curate.check)
    assert callable(curate.export)


def test_a_script_needs_no_main_guard(shards: list[Path], tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"import curate\nprint(curate.rate({str(tmp_path / 'shards' / '*.tar')!r}, raters=['signal'], "
        f"store={str(tmp_path / 'store')!r}, workers=2).samples)\n"
    )
    done = subprocess.run([sys.executable, str(script)], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "48"


def test_rankdpo_counts_the_wins_of_several_judges(shards: list[Path], hash_card: str, tmp_path: Path) -> None:
    from curate.exporting.rankdpo import load

    rate(shards, tmp_path / "store", hash_card, "signal")
    judges = ["hash", "signal.noise", "signal.sharpness"]
    curate.rank(tmp_path / "store", by="hash", wins=judges, format="rankdpo", out=tmp_path / "lists")
    table = pq.read_table(curate_view(tmp_path / "store"))
    values = {row["sample"]: [row["hash.overall"], row["signal.noise"], row["signal.sharpness"]] for row in table.to_pylist()}
    checked = 0
    for ranked in load(tmp_path / "lists"):
        for sample, phi in zip(ranked.samples, ranked.phi, strict=True):
            others = [other for other in ranked.samples if other != sample]
            won = sum(values[sample][judge] > values[other][judge] for judge in range(3) for other in others)
            assert phi == pytest.approx(won / (3 * len(others)))
            checked += 1
    assert checked == 48


def curate_view(store: Path) -> str:
    with Store.open(store) as opened:
        return opened.view().path


def test_shards_that_are_gone_are_said_and_found_again_by_rating(shards: list[Path], hash_card: str, tmp_path: Path) -> None:
    rate(shards, tmp_path / "store", hash_card)
    moved = tmp_path / "moved"
    (tmp_path / "shards").rename(moved)
    sentence = r"of 48 samples 0 left \(48 shard is gone or changed\).*3 shards are gone.*48 samples.*where they are now"
    with pytest.raises(curate.CurateError, match=sentence):
        curate.pair(tmp_path / "store", by="hash", out=tmp_path / "lost")
    rate(sorted(moved.glob("*.tar")), tmp_path / "store", hash_card)
    report = curate.pair(tmp_path / "store", by="hash", out=tmp_path / "found")
    assert report.warnings == []
    assert report.funnels[-1].dropped == {}


EXPORTS: list[tuple[Callable[..., curate.ExportReport], dict[str, str]]] = [
    (curate.pair, {"by": "hash"}),
    (curate.pair, {"by": "hash", "strategy": "all", "format": "win-lose-folders"}),
    (curate.rank, {"by": "hash", "format": "rankdpo"}),
    (curate.filter, {"top": "1", "by": "hash", "per": "group"}),
    (curate.filter, {"where": "rank_in_group(hash) <= 2", "format": "parquet"}),
]


def data_files(folder: Path) -> dict[str, bytes]:
    about = {"README.md", "curate.json"}
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and file.name not in about
    }


@pytest.mark.parametrize(("verb", "options"), EXPORTS)
def test_an_export_is_what_it_would_be_had_shards_that_are_gone_never_been_rated(
    mixed: list[Path], hash_card: str, tmp_path: Path, verb: Callable[..., curate.ExportReport], options: dict[str, str]
) -> None:
    rate(mixed, tmp_path / "store", hash_card)
    rate(mixed[1:], tmp_path / "rest", hash_card)
    mixed[0].unlink()
    report = verb(tmp_path / "store", **options, out=tmp_path / "out")
    found, following = report.funnels[:2]
    assert (found.taken, found.kept, found.dropped) == (48, 32, {"shard is gone or changed": 16})
    assert following.taken == 32
    assert all(funnel.adds_up for funnel in report.funnels)
    assert not any("media cannot be read" in funnel.dropped for funnel in report.funnels)
    (warning,) = report.warnings
    assert warning.startswith(f"the shard {mixed[0]} is gone, so the media of 16 samples cannot be copied; rate the shards")
    assert verb(tmp_path / "rest", **options, out=tmp_path / "expected").warnings == []
    assert data_files(tmp_path / "out") == data_files(tmp_path / "expected")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda shard: shard.write_bytes(shard.read_bytes()[:-2048]), "was changed"),
        (lambda shard: (shard.unlink(), shard.mkdir()), "is no file any more"),
        (lambda shard: (shard.unlink(), os.mkfifo(shard)), "is no file any more"),
    ],
    ids=["cut", "a folder", "a pipe"],
)
def test_a_shard_that_was_changed_counts_as_gone(
    mixed: list[Path], hash_card: str, tmp_path: Path, spoil: Callable[[Path], object], why: str
) -> None:
    rate(mixed, tmp_path / "store", hash_card)
    spoil(mixed[0])
    report = curate.pair(tmp_path / "store", by="hash", out=tmp_path / "out")
    assert report.funnels[0].dropped == {"shard is gone or changed": 16}
    assert report.warnings[0].startswith(f"the shard {mixed[0]} {why}, so the media of 16 samples")


def test_a_shard_with_another_time_alone_is_the_same(mixed: list[Path], hash_card: str, tmp_path: Path) -> None:
    rate(mixed, tmp_path / "store", hash_card)
    os.utime(mixed[0], (1, 1))
    assert curate.pair(tmp_path / "store", by="hash", out=tmp_path / "out").warnings == []


def test_what_copies_no_media_takes_samples_of_gone_shards(mixed: list[Path], hash_card: str, tmp_path: Path) -> None:
    rate(mixed, tmp_path / "store", hash_card)
    mixed[0].unlink()
    kept = curate.filter(tmp_path / "store", where="hash >= 0", format="ids", out=tmp_path / "ids")
    ranked = curate.rank(tmp_path / "store", by="hash", out=tmp_path / "rankings.parquet")
    assert kept.warnings == ranked.warnings == []
    assert len((tmp_path / "ids/ids.txt").read_text().splitlines()) == 48
    assert pq.read_metadata(tmp_path / "rankings.parquet").num_rows == 48


def as_dicts(report: curate.ExportReport) -> list[dict[str, Any]]:
    return [funnel.as_dict() for funnel in report.funnels]


GONE = "shard is gone or changed"


@pytest.mark.parametrize("tie", [0.0, 0.2])
@pytest.mark.parametrize("format_name", ["rankdpo", "imagereward"])
def test_an_older_ranking_is_ranked_again_without_what_is_gone(
    mixed: list[Path], hash_card: str, tmp_path: Path, format_name: str, tie: float
) -> None:
    rate(mixed, tmp_path / "store", hash_card)
    curate.rank(tmp_path / "store", by="hash", tie=tie, out=tmp_path / "rankings.parquet")
    mixed[0].unlink()
    anew = curate.rank(tmp_path / "store", by="hash", tie=tie, format=format_name, out=tmp_path / "anew")
    copied = curate.export(tmp_path / "store", tmp_path / "rankings.parquet", format=format_name, out=tmp_path / "lists")
    assert data_files(tmp_path / "lists") == data_files(tmp_path / "anew")
    assert as_dicts(copied)[:2] == [
        {"step": "find", "unit": "lists", "in": 12, "out": 12, "dropped": {}},
        {"step": "find", "unit": "responses", "in": 48, "out": 32, "dropped": {GONE: 16}},
    ]
    assert as_dicts(copied)[2:] == as_dicts(anew)[-2:]
    assert len([one for one in copied.warnings if "is gone" in one]) == 1
    assert [one["in"] for one in curate.show(tmp_path / "lists").document["funnels"]] == [12, 48, 12, 32]


def test_lists_that_are_left_with_one_response_are_counted_as_lists(mixed: list[Path], hash_card: str, tmp_path: Path) -> None:
    rate(mixed, tmp_path / "store", hash_card)
    curate.rank(tmp_path / "store", by="hash", out=tmp_path / "rankings.parquet")
    mixed[0].unlink()
    mixed[1].unlink()
    lists, responses, *_ = as_dicts(
        curate.export(tmp_path / "store", tmp_path / "rankings.parquet", format="rankdpo", out=tmp_path / "lists")
    )
    assert lists == {"step": "find", "unit": "lists", "in": 12, "out": 4, "dropped": {"fewer than two responses": 8}}
    assert responses["dropped"] == {GONE: 32, "its list is left out": 8}
    assert responses["out"] == 8
    mixed[2].unlink()
    with pytest.raises(
        curate.CurateError, match=r"all 12 lists were left out \(fewer than two responses: 12\); 3 shards are gone"
    ):
        curate.export(tmp_path / "store", tmp_path / "rankings.parquet", format="rankdpo", out=tmp_path / "nothing")


def test_wins_that_were_counted_against_what_is_gone_are_not_handed_on(mixed: list[Path], hash_card: str, tmp_path: Path) -> None:
    rate(mixed, tmp_path / "store", hash_card)
    curate.rank(tmp_path / "store", by="hash", wins=["hash"], out=tmp_path / "rankings.parquet")
    whole = mixed[0].read_bytes()
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        keys = {int(name.split(".")[0]) // 4 for name in archive.getnames()}
    assert keys == set(range(12)), "every list loses a response"
    mixed[0].unlink()
    with pytest.raises(curate.CurateError, match=r"all 12 lists were left out \(its wins count responses that are gone: 12\)"):
        curate.export(tmp_path / "store", tmp_path / "rankings.parquet", format="rankdpo", out=tmp_path / "lists")


def test_pairs_and_samples_of_before_are_exported_without_what_is_gone(mixed: list[Path], hash_card: str, tmp_path: Path) -> None:
    rate(mixed, tmp_path / "store", hash_card)
    curate.filter(tmp_path / "store", where="hash >= 0", format="ids", out=tmp_path / "ids")
    (kept,) = (tmp_path / "ids").glob("*.parquet")
    with Store.open(tmp_path / "store") as store:
        pairs = select.pair(store.view(), by="hash", strategy="all", out=tmp_path / "pairs.parquet")
    mixed[0].unlink()
    for format_name in ("shards", "parquet"):
        report = curate.export(tmp_path / "store", kept, format=format_name, out=tmp_path / format_name)
        first, second = as_dicts(report)[:2]
        assert first == {"step": "find", "unit": "samples", "in": 48, "out": 32, "dropped": {GONE: 16}}
        assert (second["in"], second["dropped"]) == (32, {})
    found, written = as_dicts(curate.export(tmp_path / "store", pairs.path, format="diffusers-dpo", out=tmp_path / "dpo"))
    assert (found["in"], found["unit"], list(found["dropped"])) == (pairs.rows, "pairs", [GONE])
    assert (written["in"], written["dropped"]) == (found["out"], {})
    assert 0 < written["out"] < pairs.rows


def test_a_sample_is_copied_from_where_it_still_lies(shards: list[Path], hash_card: str, tmp_path: Path) -> None:
    copy = shards[0].with_name("copy.tar")
    copy.write_bytes(shards[0].read_bytes())
    rate([*shards, copy], tmp_path / "store", hash_card)
    curate.pair(tmp_path / "store", by="hash", out=tmp_path / "before")
    for gone, here in ((shards[0], copy), (copy, shards[0])):
        gone.rename(tmp_path / "aside")
        report = curate.pair(tmp_path / "store", by="hash", out=tmp_path / f"without-{gone.stem}")
        assert report.warnings == []
        assert data_files(tmp_path / f"without-{gone.stem}") == data_files(tmp_path / "before")
        (tmp_path / "aside").rename(gone)
        assert here.exists()


def test_nobody_asks_a_server_whether_its_shards_are_there(shards: list[Path], hash_card: str, tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/one.tar", shards[0].read_bytes())
    curate.rate(["memory://bucket/one.tar", str(shards[1])], raters=[hash_card], store=tmp_path / "store", workers=0, trust=True)
    memory.rm("/bucket", recursive=True)
    shards[1].unlink()
    with Store.open(tmp_path / "store") as store:
        assert gone_shards(store) == {str(shards[1]): "is gone"}


def test_a_finished_export_is_refused_before_any_work(shards: list[Path], hash_card: str, tmp_path: Path) -> None:
    rate(shards, tmp_path / "store", hash_card)
    curate.pair(tmp_path / "store", by="hash", out=tmp_path / "pairs")
    before = data_files(tmp_path / "pairs")
    for cache in (tmp_path / "store/cache").iterdir():
        cache.unlink()
    with pytest.raises(
        curate.CurateError, match="already holds a finished export; remove it to make it anew, or name another folder"
    ):
        curate.pair(tmp_path / "store", by="hash", out=tmp_path / "pairs")
    assert not list((tmp_path / "store/cache").iterdir())
    assert data_files(tmp_path / "pairs") == before


def test_what_was_counted_of_a_shard_read_by_another_layout_is_counted_no_more(shards: list[Path], tmp_path: Path) -> None:
    rate(shards[:1], tmp_path / "store", "signal")
    report = curate.rate(str(shards[0]), raters="signal", store=tmp_path / "store", layout="multi", workers=0)
    assert [funnel for funnel in report.funnels if not funnel.adds_up] == []
    assert report.statuses == {}
    (rater,) = curate.show(tmp_path / "store").document["raters"]
    assert (rater["statuses"], rater["orphans"]) == ({}, 16)


# What a user gets wrong.


def test_a_card_under_another_name_is_a_rater_of_its_own(shards: list[Path], tmp_path: Path) -> None:
    own = card_yaml(tmp_path / "hash.yaml", name="hash", target="curate.testing:HashRater")
    rate(shards, tmp_path / "store", str(own), f"old_hash={own}")
    report = curate.rank(tmp_path / "store", by="hash - old_hash", out=tmp_path / "rankings.parquet")
    assert report.funnels[0].kept == 48
    assert set(pq.read_table(tmp_path / "rankings.parquet")["value"].to_pylist()) != {0.0}, "the name decides what is drawn"


def test_a_rater_that_ships_and_has_not_rated_yet_is_said(shards: list[Path], hash_card: str, tmp_path: Path) -> None:
    rate(shards, tmp_path / "store", hash_card)
    store = tmp_path / "store"
    for name, said in (("pickscore", "pickscore"), ("clip_l14", "clip-l14"), ('"clip-l14"', "clip-l14"), ("hpsv3.mu", "hpsv3")):
        with pytest.raises(curate.CurateError) as raised:
            curate.pair(store, by=f"hash + {name}", out=tmp_path / "out")
        remedy = f"curate rate SHARDS --rater {said} --store {store}"
        assert str(raised.value) == f"by: '{said}' is a rater, not rated in this store yet: {remedy}"
    with pytest.raises(curate.CurateError, match=r"rate SHARDS --rater clip-l14 --store .*; here it is written clip_l14$"):
        curate.pair(store, by="clip-l14-hash", out=tmp_path / "out")
    with pytest.raises(curate.CurateError, match=r"^by, position 1: there is no rater or sample field 'hsh'"):
        curate.pair(store, by="hsh", out=tmp_path / "out")


def test_a_format_for_something_else_is_refused_before_any_work(shards: list[Path], hash_card: str, tmp_path: Path) -> None:
    rate(shards, tmp_path / "store", hash_card)
    sentence = "^the format 'rankdpo' takes rankings, and this makes pairs; make rankings with `curate rank`$"
    with pytest.raises(curate.CurateError, match=sentence):
        curate.pair(tmp_path / "store", by="hash", format="rankdpo", out=tmp_path / "out")


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with no room for another byte."""
    place = tmp_path / "full"
    place.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(place)], capture_output=True, check=False
    ).returncode:
        pytest.skip("a file system of its own cannot be mounted here")
    (place / "filler").write_bytes(bytes(4096))
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.parametrize("asks_for_a_dataset", [True, False])
def test_what_cannot_be_written_is_said_of_what_the_user_knows(
    full_disk: Path, shards: list[Path], hash_card: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asks_for_a_dataset: bool
) -> None:
    """A selection is written aside first, or in the temporary folder: files that nobody has named."""
    rate(shards, tmp_path / "store", hash_card)
    curate.filter(tmp_path / "store", where="hash >= 0", out=tmp_path / "kept")
    monkeypatch.setattr("tempfile.tempdir", str(full_disk if asks_for_a_dataset else tmp_path))
    with pytest.raises(curate.CurateError) as raised:
        if asks_for_a_dataset:
            curate.filter(tmp_path / "store", where="hash >= 0", out=tmp_path / "out")
        else:
            curate.rank(tmp_path / "store", by="hash", out=full_disk / "ranking.parquet")
    place = full_disk if asks_for_a_dataset else full_disk / "ranking.parquet"
    sentence = f"no space left to write {place}; free some and run the same command again"
    more = "; TMPDIR can name another folder for what is made on the way" if asks_for_a_dataset else ""
    assert str(raised.value) == sentence + more


def test_paths_stand_wherever_names_do(shards: list[Path], hash_card: str, tmp_path: Path) -> None:
    one = curate.rate(shards[0], raters=Path(hash_card), store=tmp_path / "one", workers=0, trust=True)
    several = curate.rate(shards[:1], raters=[Path(hash_card)], store=str(tmp_path / "several"), workers=0, trust=True)
    assert one.computed == several.computed > 0


def test_samples_in_a_list_are_a_stream(hash_card: str, tmp_path: Path) -> None:
    samples = [{"__key__": f"{number}", "__url__": "mine", "png": png(number), "txt": b"a prompt"} for number in range(3)]
    assert curate.rate(samples, raters=hash_card, store=tmp_path / "store", workers=0, trust=True).computed == 3


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"workers": "2"}, "workers is a whole number, 0 or more, not '2'"),
        ({"readers": None}, "readers is a whole number, 1 or more, not None"),
        ({"batch_size": 1.5}, "batch_size is a whole number, 1 or more, not 1.5"),
        ({"device": "gpu"}, "device is auto, cpu, cuda, cuda:1 …, or several with commas between, not 'gpu'"),
        ({"max_failures": 0.5}, "max_failures takes a number of ratings or a share such as 5%, not '0.5'"),
        ({"retry": 3}, "a name or a path is a text, not 3"),
        ({"raters": ["signal", None]}, "a name or a path is a text, not None"),
    ],
)
def test_what_is_of_the_wrong_type_is_said(
    options: dict[str, Any], sentence: str, shards: list[Path], hash_card: str, tmp_path: Path
) -> None:
    with pytest.raises(CurateError) as raised:
        curate.rate(shards, **{"raters": hash_card, "store": tmp_path / "store", **options})
    assert str(raised.value) == sentence
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("samples", ["shards/*.tar", ["a.tar"], iter([3])])
def test_names_of_shards_are_no_stream(samples: Any) -> None:
    with pytest.raises(CurateError, match="a stream is of samples as webdataset gives them, not of (str|int); `rate` takes the"):
        next(curate.rate_stream(samples, raters="signal", workers=0))


@pytest.mark.parametrize("shards", [[b"a.tar"], [3], [{"__key__": "0"}, "a.tar"]])
def test_what_are_no_shards_is_said(shards: list[Any], hash_card: str, tmp_path: Path) -> None:
    with pytest.raises(CurateError, match="shards are paths and URLs, or samples as webdataset gives them, not "):
        curate.rate(shards, raters=hash_card, store=tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_sample_in_two_records_is_the_same_however_the_shards_are_called(hash_card: str, tmp_path: Path) -> None:
    one, other = png(1), png(2)
    first = ("k1", {"png": one, "txt": b"p", "json": b'{"model": "alpha"}', "notes.txt": b"first"})
    second = ("k2", {"png": one, "txt": b"p", "json": b'{"model": "beta"}', "mask.png": other})
    third = ("k3", {"png": other, "txt": b"p", "json": b'{"model": "beta"}'})
    kept = []
    for names in (("a", "b"), ("b", "a")):
        place = tmp_path / "".join(names)
        place.mkdir()
        shards = [
            write_shard(place / f"{name}.tar", records) for name, records in zip(names, ([first], [second, third]), strict=True)
        ]
        rate(shards, place / "store", hash_card)
        report = curate.filter(place / "store", where="true", out=place / "kept")
        assert report.funnels[0].as_dict() == {
            "step": "find",
            "unit": "samples",
            "in": 3,
            "out": 2,
            "dropped": {"same sample as in another record": 1},
        }
        kept.append({name: data for name, data in members(place / "kept").items() if not name.endswith("ratings.json")})
        ids = curate.filter(place / "store", where="generator = 'alpha'", format="ids", out=place / "ids")
        assert ids.funnels[-1].kept == 1
    assert kept[0] == kept[1]
    assert kept[0].keys() == {"k1.png", "k1.txt", "k1.json", "k1.notes.txt", "k3.png", "k3.txt", "k3.json"}
