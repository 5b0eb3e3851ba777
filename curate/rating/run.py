"""Rating shards into a store: plan what is missing, run the engine over it, commit unit by unit."""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, cast

from curate.cards import CardFile, load_card
from curate.errors import CardError, CurateError, ShardError, nearest
from curate.progress import Meter, Progress
from curate.raters import Settings, load_rater
from curate.rating.comparing import compare_into
from curate.rating.engine import Engine, FailureLimit, Options
from curate.rating.report import RateReport, UnitCounts
from curate.rating.sources import ShardUnit, stream_units
from curate.rating.units import Entry, OpenUnit, UnitSource
from curate.records import TRANSIENT, Rating, Status
from curate.shards.grouping import Record
from curate.shards.layouts import Layout, guess_layout, load_layout
from curate.shards.sources import expand, is_local, local_path
from curate.store import SampleRow, Store, Unit

GUESS_RECORDS = 16
"""Records looked at to guess a layout."""

Stream = Iterable[Mapping[str, Any]]
"""Somebody's own webdataset pipeline: samples with `__key__`, `__url__`, and undecoded bytes by field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateOptions:
    """The settings of `curate rate`."""

    layout: str | None = None
    """Name of a shipped layout or path of a file; None guesses it from the first records."""
    workers: int | None = None
    """Decode processes; None takes one for each processor."""
    max_failures: str | None = None
    """A number of failed ratings, or a share such as '5%'."""
    seconds_per_sample: float = 30.0
    """A decode that takes longer is given up."""
    retry: Sequence[str] = ()
    """Statuses whose stored ratings are asked again; 'transient' and 'failed' stand for several."""
    settings: Settings = field(default_factory=Settings)
    on_progress: Callable[[Progress], None] | None = None


def rate_into(store: Store, shards: Sequence[str] | Stream, raters: Sequence[str], options: RateOptions) -> RateReport:
    """Rate every sample of some shards, or of a stream, with some raters; what the store holds already is not asked again.

    Raises `CurateError` for what the user can mend. Shards that cannot be read are named in the report, and the others
    are rated all the same.
    """
    started = time.perf_counter()
    files = _cards(raters)
    retry = _statuses(options.retry)
    _failure_limit(options.max_failures)
    pointwise = [file for file in files if file.card.judges == "samples"]
    pairwise = [file for file in files if file.card.judges == "pairs"]
    report = RateReport(store=str(store.path), raters={file.card.name: file.card.fingerprint for file in pointwise})
    with store.writing():
        for file in files:
            store.add_card(file.card.fingerprint, file.card.name, file.card.model_dump_json())
        _look_for_shards(store)
        plan = _plan(store, shards, frozenset(report.raters.values()), options, report)
        if plan is not None:
            _rate_units(store, plan, pointwise, retry, options, report)
        for file in pairwise:
            report.compared[file.card.name] = compare_into(
                store, file, load_rater(file, options.settings), _engine_options(options)
            )
    report.seconds = time.perf_counter() - started
    return report


def rate_stream(samples: Stream, raters: Sequence[str], options: RateOptions) -> Iterator[Rating]:
    """The ratings of a stream of webdataset samples, without a store: nothing is kept, nothing is found again."""
    files = _cards(raters)
    units = stream_units(samples)
    first = next(units, None)
    if first is None:
        return
    unused = RateReport(store="", raters={})
    engine = Engine(
        [(file, load_rater(file, options.settings)) for file in files],
        layout=_layout(options.layout, [first], unused),
        stored=lambda seat, ids: [None] * len(ids),
        options=_engine_options(options),
        meter=Meter(),
    )
    for unit in engine.run(chain([first], units)):
        yield from unit.ratings


def _look_for_shards(store: Store) -> None:
    """Tell the store which local shards are gone or back, so that a sample in several places is sought where it still is."""
    stored = store.presence()
    found = {shard: local_path(shard).exists() for shard in stored if is_local(shard)}
    store.set_present({shard: there for shard, there in found.items() if there != stored[shard]})


@dataclass(slots=True, kw_only=True)
class _Plan:
    """The units with something missing, and the layout they are read by."""

    units: Iterable[UnitSource]
    total: int
    """0 where the number is not known beforehand."""
    layout: Layout


def _plan(
    store: Store, shards: Sequence[str] | Stream, cards: frozenset[str], options: RateOptions, report: RateReport
) -> _Plan | None:
    """What is left to do; units that are complete are counted into the report. None where nothing is left."""
    if not isinstance(shards, Sequence):
        stream = stream_units(shards)
        first = next(stream, None)
        if first is None:
            raise ShardError("the stream gave no sample")
        return _Plan(units=chain([first], stream), total=0, layout=_layout(options.layout, [first], report))
    found = [ShardUnit(url) for url in expand(cast(Sequence[str], shards))]
    report.shards = len(found)
    wanted = load_layout(options.layout).name if options.layout else None
    left: list[ShardUnit] = []
    for unit in found:
        state = store.unit_state(unit.name)
        done = state is not None and cards <= state.asked and unit.signature == state.signature != ""
        if state is None or not done or options.retry or wanted not in (None, state.layout):
            left.append(unit)
        else:
            report.unchanged += 1
            report.add(UnitCounts.parse(state.counts))
            if not state.complete:
                report.cut.append(unit.name)
    if not left:
        return None
    return _Plan(units=left, total=len(left), layout=_layout(options.layout, left, report))


def _layout(name: str | None, units: Sequence[UnitSource], report: RateReport) -> Layout:
    """The layout asked for, or the one that the first records suggest, said in the report.

    Raises `ShardError` where no unit can be read: the reason of the first.
    """
    if name is not None:
        return load_layout(name)
    first_problem: ShardError | None = None
    for unit in units:
        try:
            records = [found for found in islice(unit.records(), GUESS_RECORDS) if isinstance(found, Record)]
        except ShardError as problem:
            first_problem = first_problem or problem
            continue
        if records:
            layout, reason = guess_layout(records)
            report.notices.append(reason)
            return layout
    raise first_problem or ShardError(f"no record of {units[0].name} is whole, so its layout cannot be guessed; say --layout")


def _rate_units(
    store: Store, plan: _Plan, files: list[CardFile], retry: frozenset[Status], options: RateOptions, report: RateReport
) -> None:
    raters = [(file, load_rater(file, options.settings)) for file in files]
    meter = Meter(shards_total=plan.total, lanes={"decode": max(_workers(options), 1)})
    cards = frozenset(report.raters.values())
    known = {fingerprint: store.known(fingerprint, retry=retry) for fingerprint in cards}
    engine = Engine(
        raters,
        layout=plan.layout,
        stored=lambda seat, ids: known[seat.card.fingerprint].statuses(ids),
        options=_engine_options(options),
        meter=meter,
    )
    for unit in engine.run(plan.units):
        started = time.perf_counter()
        _commit(store, unit, plan.layout, cards, bool(retry), report)
        meter.busy("commit", time.perf_counter() - started)
        meter.add(shards=1)
    report.computed = engine.desk.answered
    report.unreadable = engine.unreadable
    if len(report.unreadable) == report.shards > 0:
        raise ShardError(next(iter(report.unreadable.values())))


def _commit(store: Store, unit: OpenUnit, layout: Layout, cards: frozenset[str], replacing: bool, report: RateReport) -> None:
    assert unit.end is not None, "only finished units are committed"
    counts = UnitCounts(
        samples=len(unit.entries),
        rejects=Counter(str(reject.reason) for reject in unit.rejects),
        statuses={**_earlier_statuses(store, unit), **unit.statuses()},
    )
    store.commit(
        Unit(
            shard=unit.source.name,
            signature=unit.source.signature,
            layout=layout.name,
            complete=unit.end.complete,
            samples=[_row(entry) for entry in unit.entries],
            rejects=unit.rejects,
            ratings=unit.ratings,
            asked=cards - unit.pending,
            replaces={(rating.sample, rating.card) for rating in unit.ratings} if replacing else (),
            counts=counts.as_dict(),
        )
    )
    report.add(counts)
    if not unit.end.complete:
        report.cut.append(unit.source.name)


def _row(entry: Entry) -> SampleRow:
    return SampleRow(sample=entry.sample, width=entry.width, height=entry.height, format=entry.format)


def _earlier_statuses(store: Store, unit: OpenUnit) -> Mapping[str, Mapping[str, int]]:
    """What earlier runs counted for other cards, as long as the unit's samples are still the same."""
    state = store.unit_state(unit.source.name)
    if state is None or state.signature != unit.source.signature or not state.signature:
        return {}
    return UnitCounts.parse(state.counts).statuses


def _cards(raters: Sequence[str]) -> list[CardFile]:
    """The cards of a run. Raises `CardError` where two have one name, since their columns would be one."""
    files = [load_card(name) for name in raters]
    if not files:
        raise CurateError("no rater is named; --rater signal needs no weights, and `curate raters` lists the others")
    names = [file.card.name for file in files]
    for name in names:
        if names.count(name) > 1:
            raise CardError(f"two raters are named '{name}'; give each card a name of its own")
    return files


def _statuses(names: Sequence[str]) -> frozenset[Status]:
    """The statuses that `--retry` names."""
    several = {"transient": TRANSIENT, "failed": frozenset(Status) - {Status.OK, Status.PENDING}}
    chosen: set[Status] = set()
    for name in names:
        if name in several:
            chosen |= several[name]
        elif name in set(Status) - {Status.OK, Status.PENDING}:
            chosen.add(Status(name))
        else:
            known = [*several, *(str(status) for status in several["failed"])]
            raise CurateError(f"--retry takes the status of failed ratings, not '{name}'. {nearest(name, known)}")
    return frozenset(chosen)


def _failure_limit(text: str | None) -> FailureLimit:
    """The limit that `--max-failures` sets: '100' ratings, or '5%' of them."""
    if text is None:
        return FailureLimit()
    number = text.removesuffix("%").strip()
    try:
        value = float(number) if text.endswith("%") else int(number)
    except ValueError:
        value = -1
    if not 0 <= value <= (100 if text.endswith("%") else math.inf):
        raise CurateError(f"--max-failures takes a number of ratings or a share such as 5%, not '{text}'")
    return FailureLimit(share=value / 100) if text.endswith("%") else FailureLimit(count=int(value))


def _workers(options: RateOptions) -> int:
    if options.workers is not None:
        if options.workers < 0:
            raise CurateError(f"--workers is 0 or more, not {options.workers}")
        return options.workers
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _engine_options(options: RateOptions) -> Options:
    return Options(
        workers=_workers(options),
        seconds_per_sample=options.seconds_per_sample,
        max_failures=_failure_limit(options.max_failures),
        settings=options.settings,
        on_progress=options.on_progress,
    )
