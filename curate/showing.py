"""What is in a store or in an exported dataset, as numbers and as tables for people."""

from __future__ import annotations

import glob
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import CurateError
from curate.names import MANIFEST, is_store

if TYPE_CHECKING:
    from curate.store.summary import Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under named columns."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What `curate show` found."""

    document: Mapping[str, Any]
    tables: Sequence[Table]

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return dict(self.document)


def counted(counts: Mapping[str, int]) -> str:
    """Counts by name in one cell, the largest first."""
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(f"{name} {count:,}" for name, count in ordered)


def show_store(path: str | Path) -> Shown:
    """Counts, statuses and distributions of a store."""
    from curate.store import Store

    with Store.open(path) as store:
        summary = store.summary()
    tables = [
        _contents(summary),
        _group_sizes(summary),
        _rejects(summary),
        _statuses(summary),
        _dimensions(summary),
        _compared(summary),
        _health(summary),
        _costs(summary),
    ]
    return Shown(document=_plain(asdict(summary)), tables=[table for table in tables if table.rows])


def show_health(path: str | Path, raters: Collection[str]) -> Shown:
    """How raters of these names do, by their latest cards: of all that the store holds of them, whichever run brought it.

    Nothing is read where there are none.
    """
    from curate.store import Store

    if not raters:
        return Shown(document={}, tables=[])
    with Store.open(path) as store:
        latest = {card.name: card.fingerprint for card in store.cards() if card.name in raters}
        summary = store.summary(set(latest.values()))
    tables = [
        replace(table, title=f"{table.title}, of all that the store holds")
        for table in (_compared(summary), _health(summary))
        if table.rows
    ]
    found = asdict(summary)
    return Shown(document=_plain({part: found[part] for part in ("raters", "comparisons", "costs")}), tables=tables)


def show_dataset(path: str | Path) -> Shown:
    """What an export says of itself: its format, its splits, and the funnels it came through."""
    place = Path(path) / MANIFEST
    try:
        manifest = json.loads(place.read_text(encoding="utf-8"))
        funnels = [
            (f["step"], f["unit"], f["in"], f["out"], sum(f["dropped"].values()), counted(f["dropped"]))
            for f in manifest["funnels"]
        ]
        facts = [("format", manifest["format"]), *((f"rows in {split}", rows) for split, rows in manifest["splits"].items())]
        cards = [(card["name"], card["fingerprint"], card["licence"]) for card in manifest["cards"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise CurateError(
            f"{place} cannot be read ({type(problem).__name__}: {problem}); is {path} an export of curate?"
        ) from problem
    tables = [
        Table(title="Dataset", columns=("", ""), rows=facts),
        Table(title="What became of the input", columns=("step", "counted", "in", "out", "dropped", "why"), rows=funnels),
        Table(title="Raters", columns=("card", "fingerprint", "licence"), rows=cards),
    ]
    return Shown(document=manifest, tables=tables)


def show(path: str | Path) -> Shown:
    """Whatever lies at `path`: a store or an export. Raises `CurateError` for anything else, and says what to do with it."""
    place = Path(path)
    if (place / MANIFEST).is_file():
        return show_dataset(place)
    _refuse_others(str(path))
    return show_store(place)


def names_shards(name: str) -> bool:
    """Whether what stands where a store is expected can only be shards: a file, a folder of them, a pattern or a URL."""
    place = Path(name)
    if is_store(place):
        return False
    return place.is_file() or "://" in name or glob.has_magic(name) or "{" in name or any(place.glob("*.tar*"))


def _refuse_others(name: str) -> None:
    """Raise `CurateError` for what people have at hand and `show` does not take: selections, shards, folders of shards."""
    place = Path(name)
    if place.suffix == ".parquet" and place.is_file():
        problem, remedy = "a file", f"a selection is written as a dataset by: curate export STORE {name} --format F --out DIR"
    elif names_shards(name):
        problem, shards = ("a folder of shards", place / "*.tar") if place.is_dir() else ("no folder", name)
        remedy = f"shards are rated first: curate rate '{shards}' --rater signal --store ratings"
    else:
        return
    raise CurateError(f"{name} is {problem}, and 'curate show' takes a store or an exported folder; {remedy}")


def _contents(summary: Summary) -> Table:
    again = summary.places - summary.samples
    rows: list[tuple[str, object]] = [
        ("shards", summary.units),
        ("samples", summary.samples),
        ("lying in a second place", again),
        ("groups", summary.groups),
        ("bytes of their media", summary.media_bytes),
        ("bytes of tables", summary.bytes),
    ]
    rows += [("shard cut short", shard) for shard in summary.truncated]
    rows += [("shard not finished", shard) for shard in summary.unfinished]
    rows += [("shard not there any more", shard) for shard in summary.missing]
    return Table(title=f"Store {summary.path}", columns=("", ""), rows=rows)


def _group_sizes(summary: Summary) -> Table:
    rows = [(size, count, size * count) for size, count in sorted(summary.group_sizes.items())]
    return Table(title="Groups by size", columns=("samples in a group", "groups", "samples"), rows=rows)


def _rejects(summary: Summary) -> Table:
    rows = sorted(summary.rejects.items(), key=lambda one: -one[1])
    return Table(title="Did not become a sample", columns=("reason", "count"), rows=rows)


def _statuses(summary: Summary) -> Table:
    rows = [
        (
            rater.name,
            f"{rater.card}{'' if rater.latest else ' (older)'}",
            sum(rater.statuses.values()),
            rater.statuses.get("ok", 0),
            counted({status: count for status, count in rater.statuses.items() if status != "ok"}),
            rater.orphans,
        )
        for rater in summary.raters
    ]
    return Table(title="Raters", columns=("rater", "card", "asked", "ok", "not ok", "no longer in a shard"), rows=rows)


def _dimensions(summary: Summary) -> Table:
    rows = []
    for rater in summary.raters:
        for name, found in rater.dimensions.items():
            if found is not None:
                quantiles = [found.quantiles[share] for share in sorted(found.quantiles)]
                rows.append((f"{rater.name}.{name}", found.count, found.mean, found.low, *quantiles, found.high))
    columns = ("dimension", "ok", "mean", "min", "5%", "25%", "50%", "75%", "95%", "max")
    return Table(title="Values (larger is better)", columns=columns, rows=rows)


def _compared(summary: Summary) -> Table:
    there = sum(count * size * (size - 1) // 2 for size, count in summary.group_sizes.items())
    rows = [
        (
            f"{one.name}.{one.dimension}",
            one.card,
            sum(one.statuses.values()),
            there,
            counted(one.statuses),
            one.ties,
            f"{one.disagreeing / one.both_orders:.1%}" if one.both_orders else "",
            "" if one.position_bias is None else f"{one.position_bias:+.3f}",
            one.orphans,
        )
        for one in summary.comparisons
    ]
    counts = ("compared pairs", "of all in groups", "by status", "ties")
    columns = ("dimension", "card", *counts, "orders disagree", "position bias", "no longer in a shard")
    return Table(title="Comparisons", columns=columns, rows=rows)


def _health(summary: Summary) -> Table:
    """Raters and dimensions that fail, and how far their values are apart; people look at it before they believe a number."""
    rows: list[tuple[object, ...]] = []
    for rater in summary.raters:
        for name, found in rater.dimensions.items():
            spread = (None, None, None) if found is None else (found.deviation.overall, found.deviation.within, found.warning)
            rows.append((f"{rater.name}.{name}", rater.card, counted(rater.reasons.get(name, {})), *spread))
    rows += [
        (f"{one.name}.{one.dimension}", one.card, counted(one.reasons), one.deviation, None, one.warning)
        for one in summary.comparisons
    ]
    columns = ("dimension", "card", "no value, by reason", "deviation", "within groups", "warning")
    return Table(title="Health", columns=columns, rows=rows)


def _costs(summary: Summary) -> Table:
    rows = [
        (
            one.name,
            one.card,
            one.cost.replies,
            one.cost.requests,
            one.cost.prompt_tokens,
            one.cost.cached_tokens,
            one.cost.completion_tokens,
            one.cost.mean_seconds,
            one.cost.backends.replace(",", ", "),
        )
        for one in summary.costs
    ]
    asked = ("replies", "requests", "prompt tokens", "of them cached", "reply tokens", "seconds a reply")
    columns = ("rater", "card", *asked, "answered by")
    return Table(title="What judges were asked", columns=columns, rows=rows)


def _plain(value: Any) -> Any:
    """Mappings with text as keys, as JSON wants them."""
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
