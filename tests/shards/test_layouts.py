"""Layouts: what records mean, how a layout is guessed, and what is refused instead of being guessed at."""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import LayoutError
from curate.records import Reject, RejectReason, Sample, group_id, sample_id
from curate.shards.grouping import Record
from curate.shards.guessing import guess_layout
from curate.shards.kinds import kind_of
from curate.shards.layouts import Layout, known_layouts, load_layout
from curate.shards.limits import ShardLimits
from curate.shards.samples import build_samples
from tests.shards.archives import read_bytes, tar_bytes

PNG, JPG, EXTRA = b"\x89PNG one", b"\xff\xd8 two", b"\xff\xd8 three"


def record(folder: Path, members: dict[str, Any], key: str = "k") -> Record:
    """A record read from a real shard; values that are not bytes are written as text or JSON."""
    data = {
        field: value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else json.dumps(value).encode()
        for field, value in members.items()
    }
    records, rejects, _ = read_bytes(folder, tar_bytes([(f"{key}.{field}", value) for field, value in data.items()]))
    assert not rejects
    return records[0]


def samples(layout: str, one: Record) -> list[Sample]:
    found = build_samples(load_layout(layout), one)
    assert all(isinstance(sample, Sample) for sample in found), found
    return [sample for sample in found if isinstance(sample, Sample)]


def reject(layout: str | Layout, one: Record, limits: ShardLimits | None = None) -> Reject:
    loaded = load_layout(layout) if isinstance(layout, str) else layout
    (found,) = build_samples(loaded, one, limits) if limits else build_samples(loaded, one)
    assert isinstance(found, Reject), found
    assert found.key == one.key
    return found


def own(folder: Path, text: str) -> Layout:
    path = folder / "own.yaml"
    path.write_text(text)
    return load_layout(str(path))


def test_single(tmp_path: Path) -> None:
    one = record(tmp_path, {"png": PNG, "txt": "a cat\n", "json": {"width": 8, "prompt": "unused"}, "depth.npy": b"\x93NUMPY"})
    (sample,) = samples("single", one)
    assert (sample.prompt, sample.kind, sample.index, sample.key) == ("a cat", "image", 0, "k")
    assert sample.digest == hashlib.sha256(PNG).hexdigest()
    assert sample.response[0].member == one.members[0]
    assert sample.id == sample_id("a cat", {}, sample.response)
    assert sample.group == group_id("a cat", {})
    assert sample.meta == {"width": 8, "prompt": "unused"}
    assert sample.members == one.members


def test_the_prompt_is_the_same_from_text_and_from_json(tmp_path: Path) -> None:
    texts = [
        {"jpg": JPG, "txt": "a cat\r\n"},
        {"jpg": JPG, "txt": b"\xef\xbb\xbfa cat"},
        {"jpg": JPG, "json": {"prompt": "a cat"}},
    ]
    ids = {sample.id for members in texts for sample in samples("single", record(tmp_path, members))}
    assert len(ids) == 1
    (sample,) = samples("single", record(tmp_path, texts[2]))
    assert sample.meta == {}, "what became the prompt is not kept twice"


def test_a_blank_prompt_is_none_and_does_not_make_one_group_of_all(tmp_path: Path) -> None:
    (first,) = samples("single", record(tmp_path, {"jpg": JPG, "txt": " \n"}))
    (second,) = samples("single", record(tmp_path, {"jpg": EXTRA, "txt": ""}))
    assert first.prompt is None
    assert first.group != second.group
    (third,) = samples("single", record(tmp_path, {"jpg": JPG, "txt": "", "json": {"prompt": "from json"}}))
    assert third.prompt == "from json"


def test_multi(tmp_path: Path) -> None:
    members = {
        "10.jpg": b"ten",
        "2.jpg": b"two",
        "0.png": b"zero",
        "json": {"prompt": "p", "models": ["a", "b", "c"], "seed": 7},
    }
    found = samples("multi", record(tmp_path, members))
    assert [sample.response[0].member and sample.response[0].member.field for sample in found] == ["0.png", "2.jpg", "10.jpg"]
    assert [sample.index for sample in found] == [0, 1, 2]
    assert [sample.generator for sample in found] == ["a", "b", "c"]
    assert len({sample.group for sample in found}) == 1
    assert len({sample.id for sample in found}) == 3
    assert found[0].meta == {"seed": 7}


def test_candidates_without_any_request_still_compete(tmp_path: Path) -> None:
    first, second = samples("multi", record(tmp_path, {"0.jpg": JPG, "1.jpg": EXTRA}))
    assert first.group == second.group
    (alone,) = samples("multi", record(tmp_path, {"0.jpg": b"another"}))
    assert alone.group != first.group


@settings(max_examples=20, deadline=None)
@given(st.permutations(["0.jpg", "1.jpg", "11.jpg", "txt", "json"]))
def test_the_order_of_members_changes_no_sample(tmp_path_factory: pytest.TempPathFactory, order: list[str]) -> None:
    contents = {"0.jpg": b"0", "1.jpg": b"1", "11.jpg": b"11", "txt": b"p", "json": b"{}"}
    folder = tmp_path_factory.getbasetemp()
    found = samples("multi", record(folder, {field: contents[field] for field in order}))
    straight = samples("multi", record(folder, contents))
    assert [(one.id, one.group, one.index) for one in found] == [(one.id, one.group, one.index) for one in straight]


def test_img2dataset(tmp_path: Path) -> None:
    meta = {"url": "https://host/x.jpg", "caption": "a cat", "key": "000", "status": "success", "width": 512, "exif": "{}"}
    one = record(tmp_path, {"jpg": JPG, "txt": "a cat", "json": meta})
    (sample,) = samples("img2dataset", one)
    assert sample.prompt == "a cat"
    assert sample.meta == {name: value for name, value in meta.items() if name != "caption"}


def test_pickapic(tmp_path: Path) -> None:
    members = {"jpg_0.jpg": JPG, "jpg_1.jpg": EXTRA, "label_0.txt": "1", "label_1.txt": "0\n", "original_prompt.txt": "a cat"}
    winner, loser = samples("pickapic", record(tmp_path, members))
    assert (winner.prompt, winner.labels, loser.labels) == ("a cat", {"label": 1.0}, {"label": 0.0})
    assert winner.group == loser.group
    tie = {"jpg_0": JPG, "jpg_1": EXTRA, "json": {"caption": "a cat", "label_0": 0.5, "label_1": 0.5, "model_1": "sdxl"}}
    first, second = samples("pickapic", record(tmp_path, tie))
    assert (first.labels, second.labels) == ({"label": 0.5}, {"label": 0.5})
    assert (first.generator, second.generator, first.kind) == (None, "sdxl", "image")
    assert first.id == winner.id, "one image for one prompt, however the shard is laid out"


def test_edit(tmp_path: Path) -> None:
    members = {
        "source.jpg": JPG,
        "mask.png": PNG,
        "edited.1.jpg": b"one",
        "edited.0.jpg": b"zero",
        "instruction.txt": "make it night",
    }
    found = samples("edit", record(tmp_path, members))
    assert [sample.response[0].member and sample.response[0].member.field for sample in found] == ["edited.0.jpg", "edited.1.jpg"]
    assert {role: media.digest for role, media in found[0].conditions.items()} == {
        "source": hashlib.sha256(JPG).hexdigest(),
        "mask": hashlib.sha256(PNG).hexdigest(),
    }
    assert found[0].prompt == "make it night"
    assert found[0].group == found[1].group
    (other,) = samples(
        "edit", record(tmp_path, {"source.jpg": EXTRA, "edited.jpg": b"one", "json": {"instruction": "make it night"}})
    )
    assert other.group != found[0].group, "another source is another request"


def test_references_become_roles_by_number(tmp_path: Path) -> None:
    members = {"source.jpg": JPG, "reference.0.png": PNG, "reference.1.png": EXTRA, "edited.jpg": b"x"}
    (sample,) = samples("edit", record(tmp_path, members))
    assert list(sample.conditions) == ["source", "reference_0", "reference_1"]


@pytest.mark.parametrize(
    "members",
    [
        {"jpg": JPG, "0.txt": "a cat\n", "1.txt": "a dog", "json": {"models": ["x", "y"]}},
        {"jpg": JPG, "json": {"captions": ["a cat", "a dog"], "models": ["x", "y"]}},
    ],
)
def test_caption(tmp_path: Path, members: dict[str, Any]) -> None:
    first, second = samples("caption", record(tmp_path, members))
    assert (first.response[0].text, second.response[0].text) == ("a cat", "a dog")
    assert first.digest == hashlib.sha256(b"a cat").hexdigest()
    assert (first.kind, first.generator, second.generator, first.meta) == ("text", "x", "y", {})
    assert first.conditions["image"].digest == hashlib.sha256(JPG).hexdigest()
    assert first.group == second.group


def test_views_are_one_response(tmp_path: Path) -> None:
    layout = own(tmp_path, "name: turntable\nresponses: view_<n>.<image>\ncount: views\nprompt: txt\ngroup: json:object\n")
    one = record(tmp_path, {"view_1.png": PNG, "view_0.png": JPG, "txt": "a chair", "json": {"object": 17}})
    (sample,) = build_samples(layout, one)
    assert isinstance(sample, Sample)
    assert [media.digest for media in sample.response] == [hashlib.sha256(data).hexdigest() for data in (JPG, PNG)]
    assert sample.group == group_id("a chair", {}, name="17")


def test_a_layout_of_ones_own(tmp_path: Path) -> None:
    layout = own(
        tmp_path,
        """
        name: mine
        responses: gen_<name>.<image>
        count: several
        conditions: {low_res: small.<image>, note: "info.json:note"}
        prompt: ["info.json:request.text"]
        generator: ["<name>.model.txt", "info.json:by_name.<name>.model"]
        labels: {human: ["info.json:by_name.<name>.human"]}
        meta: [info.json]
        """,
    )
    info = {
        "request": {"text": "a cat"},
        "note": "n",
        "by_name": {"b": {"model": "B", "human": 3}, "a": {"human": "4.5"}},
        "x": 1,
    }
    one = record(tmp_path, {"gen_b.png": PNG, "gen_a.jpg": JPG, "a.model.txt": "A", "small.png": EXTRA, "info.json": info})
    first, second = (sample for sample in build_samples(layout, one) if isinstance(sample, Sample))
    assert (first.generator, first.labels, second.generator, second.labels) == ("A", {"human": 4.5}, "B", {"human": 3.0})
    assert first.conditions["note"].text == "n"
    assert first.conditions["low_res"].kind == "image"
    assert dict(first.meta) == {"request": info["request"], "by_name": info["by_name"], "x": 1}


@pytest.mark.parametrize(
    ("layout", "members", "says"),
    [
        ("single", {"txt": "a cat"}, "there is no <media> among txt"),
        ("single", {"jpg": JPG, "png": PNG}, "could each be the response"),
        ("pickapic", {"jpg": JPG}, "there is no"),
        ("caption", {"jpg": JPG, "json": {"captions": []}}, "there is no"),
        ("caption", {"jpg": JPG, "json": {"captions": ["a", None]}}, "entry 1"),
    ],
)
def test_without_one_clear_response_there_is_no_sample(tmp_path: Path, layout: str, members: dict[str, Any], says: str) -> None:
    found = reject(layout, record(tmp_path, members))
    assert found.reason is RejectReason.MISSING_RESPONSE
    assert says in found.detail


def deep(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


@pytest.mark.parametrize(
    ("field", "data", "says"),
    [
        ("txt", b"caf\xe9", "not UTF-8"),
        ("txt", "a cat".encode("utf-16"), "not UTF-8"),
        ("txt", b"a\0cat", "NUL"),
        ("txt", b"\xed\xa0\x80", "not UTF-8"),
        ("txt", b"x" * 65537, "65537 bytes"),
        ("json", b"\xff{}", "not UTF-8"),
        ("json", b"", "not JSON"),
        ("json", b"{", "not JSON"),
        ("json", b"{'a': 1}", "not JSON"),
        ("json", b'{"a": NaN}', "NaN"),
        ("json", b'{"a": -Infinity}', "-Infinity"),
        ("json", b'{"a": 1e999}', "too large"),
        ("json", b"1" * 5000, "not JSON"),
        ("json", b'{"a": {"b": 1, "b": 2}}', "'b' stands twice"),
        ("json", deep(33), "more than 32 deep"),
        ("json", b"[" * 100_000, "too deeply"),
        ("json", deep(100_000), "too deeply"),
        ("json", b'{"a": "\\ud800"}', "surrogate"),
        ("json", b'{"\\ud83d": 1}', "surrogate"),
        ("json", b'{"prompt": "a\\u0000b"}', "NUL"),
        ("json", b'{"prompt": ["a"]}', "list, not text"),
        ("json", b'{"prompt": true}', "bool, not text"),
        ("json", json.dumps({"prompt": "x" * 70_000}).encode(), "70000 bytes"),
        ("json", b'"' + b"x" * (1 << 20) + b'"', "bytes; the limit"),
    ],
)
def test_metadata_that_cannot_be_read_is_a_reason_and_never_half_read(tmp_path: Path, field: str, data: bytes, says: str) -> None:
    found = reject("single", record(tmp_path, {"jpg": JPG, field: data}))
    assert found.reason is RejectReason.BAD_METADATA
    assert says in found.detail
    assert len(found.detail) < 300


@pytest.mark.parametrize(
    ("data", "meta"),
    [
        (deep(32), json.loads(deep(32))),
        (b'{"a": 9223372036854775808, "b": null}', {"a": 2**63, "b": None}),
        (b'{"a": "\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        (b'\xef\xbb\xbf{"a": "<script>{{x}} <image>"}', {"a": "<script>{{x}} <image>"}),
        (b"[1, 2]", {"json": [1, 2]}),
        (b"null", {}),
    ],
)
def test_odd_but_sound_json_is_kept_untouched(tmp_path: Path, data: bytes, meta: dict[str, Any]) -> None:
    (sample,) = samples("single", record(tmp_path, {"jpg": JPG, "json": data}))
    assert sample.meta == meta


@pytest.mark.parametrize("label", ["yes", "nan", "1e999", [1], {"a": 1}])
def test_a_label_that_is_no_number_is_not_made_one(tmp_path: Path, label: Any) -> None:
    members = {"jpg_0.jpg": JPG, "jpg_1.jpg": EXTRA, "json": {"caption": "c", "label_0": label}}
    assert reject("pickapic", record(tmp_path, members)).reason is RejectReason.BAD_METADATA


def test_json_that_no_rule_reads_is_not_looked_at(tmp_path: Path) -> None:
    (sample,) = samples("single", record(tmp_path, {"jpg": JPG, "side.json": b"{ broken"}))
    assert [member.field for member in sample.members] == ["jpg", "side.json"]


def test_limits_can_be_given(tmp_path: Path) -> None:
    one = record(tmp_path, {"jpg": JPG, "txt": "a long prompt"})
    assert reject("single", one, ShardLimits(text_bytes=5)).reason is RejectReason.BAD_METADATA


EXAMPLES: dict[str, dict[str, Any]] = {
    "single": {"jpg": JPG, "txt": "p"},
    "multi": {"0.jpg": JPG, "1.jpg": EXTRA, "txt": "p"},
    "img2dataset": {"jpg": JPG, "txt": "p", "json": {"url": "u", "status": "success", "caption": "p"}},
    "pickapic": {"jpg_0.jpg": JPG, "jpg_1.jpg": EXTRA, "label_0.txt": "1", "label_1.txt": "0", "caption.txt": "p"},
    "edit": {"source.png": PNG, "edited.png": JPG, "txt": "p"},
    "caption": {"jpg": JPG, "0.txt": "a", "1.txt": "b"},
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_known_layout_is_recognised_and_says_why(tmp_path: Path, name: str) -> None:
    layout, reason = guess_layout([record(tmp_path, EXAMPLES[name], key) for key in ("a", "b")])
    assert layout.name == name
    assert reason.startswith(f"layout '{name}', because 2 of the first 2 records have ")
    assert next(iter(EXAMPLES[name])) in reason or name == "edit"


def test_every_known_layout_has_an_example_here() -> None:
    assert set(known_layouts()) == set(EXAMPLES)
    assert all(layout.about and layout.recognised for layout in known_layouts().values())
    orders = [layout.recognised.order for layout in known_layouts().values() if layout.recognised]
    assert len(set(orders)) == len(orders), "so a guess never depends on the order of files"


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_layout_of_most_records_is_taken_in_any_order(tmp_path: Path, order: tuple[int, ...]) -> None:
    kinds = [EXAMPLES["single"], EXAMPLES["single"], EXAMPLES["pickapic"]]
    layout, reason = guess_layout([record(tmp_path, kinds[number], str(number)) for number in order])
    assert layout.name == "single"
    assert reason == (
        "layout 'single', because 2 of the first 3 records have jpg; 1 other looks like 'pickapic': such records belong"
        " into shards of their own, since one run reads all as 'single'"
    )


def test_a_guess_says_all_that_the_records_have(tmp_path: Path) -> None:
    kinds = [{"jpg": JPG, "txt": "p"}, {"png": PNG, "txt": "p"}, {"jpg": EXTRA, "txt": "p"}]
    _, reason = guess_layout([record(tmp_path, fields, str(number)) for number, fields in enumerate(kinds)])
    assert reason == "layout 'single', because 3 of the first 3 records have jpg (2) or png (1)"


def test_a_guess_says_which_records_no_layout_fits(tmp_path: Path) -> None:
    kinds = [{"jpg": JPG, "txt": "p"}, {"npy": b"x"}, {"npy": b"y"}, {"jpg": EXTRA, "txt": "p"}]
    layout, reason = guess_layout([record(tmp_path, fields, str(number)) for number, fields in enumerate(kinds)])
    assert layout.name == "single"
    assert "2 of the first 4 records have jpg; 2 others look like no known layout" in reason


def test_what_no_layout_fits_is_said_with_the_fields(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match=r"no known layout fits the first 1 records, whose fields are cls, npy.*layout file"):
        guess_layout([record(tmp_path, {"npy": b"x", "cls": "3"})])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: x", "responses"),
        ("name: x\nresponses: []", "own.yaml: 'responses' names no member"),
        ("name: X\nresponses: jpg", "field 'name': 'X' should be a name of small letters"),
        ("name: x\nresponses: jpg\nrespones: png", r"'respones': there is no such field\. Did you mean 'responses'\?"),
        ("name: x\nresponses: JPG", "field 'responses': 'JPG': fields are lower-cased"),
        ("name: x\nresponses: <picture>", "no word <picture>.*<image>"),
        ("name: x\nresponses: <n>_<n>.jpg", "once"),
        ("name: x\nresponses: jpg\nprompt: 'json:'", "not a pattern"),
        ("name: x\nresponses: jpg\nprompt: <n>.txt", "one for all"),
        ("name: x\nresponses: jpg\ncount: many", "count"),
        ("name: x\nname: y\nresponses: jpg", "stands twice"),
        ("- name: x", "mapping"),
        ("name: x\nresponses: !!python/object:os.system jpg", "constructor"),
    ],
)
def test_a_layout_that_does_not_hold_together_is_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(LayoutError, match=says) as problem:
        own(tmp_path, text)
    assert "own.yaml" in str(problem.value)
    assert "\n" not in str(problem.value)


def test_a_layout_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="no layout named 'pickpic'. Did you mean 'pickapic'"):
        load_layout("pickpic")
    with pytest.raises(LayoutError, match="there is no layout .*none.yaml"):
        load_layout(str(tmp_path / "none.yaml"))


def test_kinds_come_from_the_last_extension() -> None:
    assert [kind_of(name) for name in ("jpg", "0.PNG", "a/b.webm", "caption", "json", "jpg_0", "")] == [
        "image",
        "image",
        "video",
        "text",
        None,
        None,
        None,
    ]
