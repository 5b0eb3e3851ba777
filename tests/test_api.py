"""The public verbs end to end: shards in, ratings kept, datasets out."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import zstandard

import curate
from curate.bridge import gone_shards
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
    copied = curate.export(tmp_path / "store", tmp_path / "rankings.parquet", format="imagereward", out=tmp_path / "lists")
    assert copied.funnels[-1].dropped["media cannot be read"] == 16
    assert len([one for one in copied.warnings if "is gone" in one]) == 1


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
