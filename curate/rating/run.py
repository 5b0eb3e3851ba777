"""Rating shards into a store: plan what is missing, run the engine over it, commit unit by unit."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any, cast

from curate.cards import CardFile, load_card
from curate.errors import CardError, CurateError, Option, ShardError
from curate.progress import Meter
from curate.rater_loading import NETWORKS, resolved_card
from curate.rater_settings import Shared
from curate.rating.admission import Seat
from curate.rating.committing import commit, keep, layout_identity
from curate.rating.comparing import compare_into
from curate.rating.engine import Engine, loaded, ticking, told_by, told_of_server
from curate.rating.notices import Dropped, Failed, noticed_by, notices_of, said_beside
from curate.rating.options import RateOptions
from curate.rating.report import RateReport, UnitCounts
from curate.rating.sources import ShardUnit, stream_units
from curate.rating.units import OpenUnit, UnitSource
from curate.records import Rating, Status
from curate.shards.grouping import Record
from curate.shards.guessing import guess_layout
from curate.shards.layouts import Layout, known_layouts, load_layout
from curate.shards.sources import expand, is_local, local_path
from curate.store import UNFINISHED, Store, UnitState
from curate.store.replies import FILE as REPLIES

GUESS_RECORDS = 16
"""Records looked at to guess a layout."""

Stream = Iterable[Mapping[str, Any]]
"""Somebody's own webdataset pipeline: samples with `__key__`, `__url__`, and undecoded bytes by field."""


def rate_into(store: Store, shards: Sequence[str] | Stream, raters: Sequence[str], options: RateOptions) -> RateReport:
    """Rate every sample of some shards, or of a stream, with some raters; what the store holds already is not asked again.

    Raters of pairs are asked about the groups that have a sample in these shards; after a stream, about every group of the store.
    Raises `CurateError` for what the user can mend. Shards that cannot be read are named in the report, and the others are rated
    all the same.
    """
    started = time.perf_counter()
    with Shared() as shared:
        report = _rate(store, shards, raters, _remembering(options, store, shared))
    report.seconds = time.perf_counter() - started
    if report.samples == 0 and report.rejects:
        remedy = "leave --layout out to have it guessed" if options.layout else "say with --layout what the members mean"
        report.notices.append(f"no record became a sample: the layout does not fit; {remedy}")
    return report


def _rate(store: Store, shards: Sequence[str] | Stream, raters: Sequence[str], options: RateOptions) -> RateReport:
    files = _cards(raters, options)
    pointwise = [file for file in files if file.card.judges == "samples"]
    pairwise = [file for file in files if file.card.judges == "pairs"]
    report = RateReport(store=str(store.path), raters={file.card.name: file.card.fingerprint for file in pointwise})
    report.notices += notices_of(files)
    with store.writing():
        _look_for_shards(store)
        units = _named(shards, report)
        plan = _plan(store, units, frozenset(report.raters.values()), options, report)
        if plan is None:
            _add_cards(store, pointwise)
        else:
            _try(pairwise, options, report)
            _rate_units(store, plan, pointwise, options, report)
        named = {unit.name for unit in units} if isinstance(units, list) else None
        for file in pairwise:
            compare_into(store, file, named, options, report)
    return report


def _named(shards: Sequence[str] | Stream, report: RateReport) -> list[ShardUnit] | Stream:
    """The shards that a run is about; a stream as it is, since what it brings is known only once it is read."""
    if not isinstance(shards, Sequence):
        return shards
    return [ShardUnit(url) for url in expand(cast(Sequence[str], shards), tell=report.notices.append)]


def _try(files: Sequence[CardFile], options: RateOptions, report: RateReport) -> None:
    """Load the raters that ask a server, so that what it cannot do is said before hours of other work and not after."""
    if options.settings.serving is not None:
        asking = [file for file in files if not file.card.target.startswith(NETWORKS)]
        with loaded(asking, options.settings, Meter()) as raters:
            report.told |= told_of_server(raters)


def rate_stream(samples: Stream, raters: Sequence[str], options: RateOptions) -> Iterator[Rating]:
    """The ratings of a stream of webdataset samples, without a store: nothing is kept, nothing is found again.

    Raises `CardError` for a rater of pairs, which needs whole groups.
    """
    files = _cards(raters, options)
    for file in files:
        if file.card.judges == "pairs":
            raise CardError(f"{file.where}: '{file.card.name}' judges pairs, and a stream has no groups; rate into a store")
    units = stream_units(samples)
    first = next(units, None)
    if first is None:
        return
    layout, _ = _layout(options.layout, [first])
    meter = Meter()
    with loaded(files, options.settings, meter) as ready:
        engine = Engine(files, ready, layout=layout, stored=lambda _, ids: [None] * len(ids), options=options, meter=meter)
        for unit in engine.run(chain([first], units)):
            if unit.settled:
                yield from unit.ratings


def _add_cards(store: Store, files: Sequence[CardFile]) -> None:
    """Make these cards what their names mean from now on; only once they are known to load."""
    for file in files:
        store.add_card(file.card.fingerprint, file.card.name, file.card.model_dump_json())


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
    store: Store, shards: list[ShardUnit] | Stream, cards: frozenset[str], options: RateOptions, report: RateReport
) -> _Plan | None:
    """What is left to do; units that are complete are counted into the report. None where nothing is left."""
    if not isinstance(shards, list):
        stream = stream_units(shards)
        first = next(stream, None)
        if first is None:
            raise ShardError("the stream gave no sample")
        return _Plan(units=chain([first], stream), total=0, layout=_told(_layout(options.layout, [first]), report))
    report.shards = len(shards)
    wanted = layout_identity(load_layout(options.layout)) if options.layout else None
    left: list[ShardUnit] = []
    empty: list[tuple[ShardUnit, UnitState]] = []
    layouts: set[str] = set()
    for unit in shards:
        state = store.unit_state(unit.name)
        fitted = state is not None and _fitted(state)
        layouts |= {state.layout} if state is not None and fitted else set()
        done = state is not None and cards <= state.asked and unit.signature == state.signature != ""
        if state is None or not done or options.retry or wanted not in (None, state.layout):
            left.append(unit)
        elif fitted or wanted:
            _count_unchanged(unit, state, report)
        else:
            empty.append((unit, state))
    for unit, state in empty:
        if state.layout in layouts:
            _count_unchanged(unit, state, report)
        else:
            left.append(unit)
    if not left:
        return None
    # What was read by one layout before is read by it again, rather than guessed anew from what happens to be left.
    before = layouts.pop() if len(layouts) == 1 and layouts <= known_layouts().keys() else None
    return _Plan(units=left, total=len(left), layout=_told(_layout(options.layout or before, left), report))


def _count_unchanged(unit: ShardUnit, state: UnitState, report: RateReport) -> None:
    report.unchanged += 1
    report.add(UnitCounts.parse(state.counts))
    if not state.complete:
        report.cut.append(unit.name)


def _fitted(state: UnitState) -> bool:
    """Whether the layout by which a shard was read gave samples: one that gave none was a mistake, and binds nobody."""
    return state.signature == UNFINISHED or UnitCounts.parse(state.counts).samples > 0


def _told(guessed: tuple[Layout, str | None], report: RateReport) -> Layout:
    """The layout, with the reason for it in the report where it was guessed."""
    layout, reason = guessed
    if reason is not None:
        report.notices.append(reason)
    return layout


def _layout(name: str | None, units: Sequence[UnitSource]) -> tuple[Layout, str | None]:
    """The layout asked for, or the one that the first records suggest and why.

    Raises `ShardError` where no unit can be read: the reason of the first.
    """
    if name is not None:
        return load_layout(name), None
    first_problem: ShardError | None = None
    # By name, not as given: the order of shards must not decide how they are read.
    for unit in sorted(units, key=lambda unit: unit.name):
        try:
            records = [found for found in islice(unit.records(), GUESS_RECORDS) if isinstance(found, Record)]
        except ShardError as problem:
            first_problem = first_problem or problem
            continue
        if records:
            return guess_layout(records)
    broken = f"no record of {units[0].name} is whole, so its layout cannot be guessed; say "
    raise first_problem or ShardError(broken, Option("layout"))


def _rate_units(store: Store, plan: _Plan, files: list[CardFile], options: RateOptions, report: RateReport) -> None:
    meter = Meter(shards_total=plan.total, lanes={"decode": max(options.processes, 1)})
    cards = frozenset(report.raters.values())
    known = {fingerprint: store.known(fingerprint, retry=options.retry) for fingerprint in cards}

    def stored(seat: Seat, ids: Sequence[str]) -> Sequence[Status | None]:
        return known[seat.card.fingerprint].statuses(ids)

    dropped, failed = Dropped(), Failed()

    def save(unit: OpenUnit) -> None:
        if not unit.settled:
            keep(store, unit, plan.layout, replacing=bool(options.retry))
            return
        report.add(commit(store, unit, plan.layout, cards, replacing=bool(options.retry)))
        if not (unit.end and unit.end.complete):
            report.cut.append(unit.source.name)
        dropped.add(unit.source.name, unit.rejects, len(unit.entries))
        failed.add(unit)
        meter.add(shards=1)

    with ticking(meter, options.on_progress), loaded(files, options.settings, meter) as raters:
        _add_cards(store, files)
        engine = Engine(files, raters, layout=plan.layout, stored=stored, options=options, meter=meter)
        try:
            for unit in engine.run(plan.units):
                with meter.working("commit"):
                    save(unit)
        except BaseException:
            # Ctrl-C, too many failures, a rater that gave up: what is answered is answered.
            for unit in (*engine.desk.finished(), *engine.desk.unfinished()):
                save(unit)
            raise
        report.told |= told_by(files, raters)
        report.notices += noticed_by(files, raters)
    report.computed = engine.desk.answered - engine.desk.pending
    report.reasons |= engine.desk.reasons
    report.notices += [*said_beside(engine.desk.notes), *failed.notices(), *dropped.notices(plan.layout.name)]
    report.unreadable = engine.unreadable
    if len(report.unreadable) == report.shards > 0:
        raise ShardError(next(iter(report.unreadable.values())))


def _remembering(options: RateOptions, store: Store, shared: Shared) -> RateOptions:
    """The options, with the store's own place for the replies of judges; what could not be used of them is asked again."""
    settings = replace(
        options.settings,
        replies=options.settings.replies or store.path / REPLIES,
        again=options.retry,
        shared=shared,
    )
    return replace(options, settings=settings)


def _cards(raters: Sequence[str], options: RateOptions) -> list[CardFile]:
    """The cards of a run. Raises `CardError` where two have one name, since their columns would be one."""
    files = [resolved_card(load_card(name), options.settings) for name in raters]
    if not files:
        raise CurateError("no rater is named; 'signal' needs no weights, and `curate raters` lists the others")
    names = [file.card.name for file in files]
    for name in names:
        if names.count(name) > 1:
            raise CardError(f"two raters are named '{name}'; give each card a name of its own")
    return files
