"""What the verbs of selecting and checking give back: numbers that add up, and what the user should know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from curate.records import Funnel

if TYPE_CHECKING:
    from curate.checking import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What a selection or an export did."""

    out: str
    """The folder, or the file of a ranking, that was written."""
    format: str
    funnels: list[Funnel]
    warnings: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {
            "out": self.out,
            "format": self.format,
            "funnels": [funnel.as_dict() for funnel in self.funnels],
            "warnings": self.warnings,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What a check found."""

    dataset: str
    findings: list[Finding]
    """The first `most` of them."""
    counts: Mapping[str, int]
    """By severity and rule, over all of them: 'error: tie' …"""

    @property
    def ok(self) -> bool:
        """No errors; warnings and notes are allowed."""
        return not any(name.startswith("error: ") for name in self.counts)

    def as_dict(self) -> dict[str, Any]:
        return {
            "dataset": self.dataset,
            "ok": self.ok,
            "counts": dict(self.counts),
            "findings": [asdict(finding) for finding in self.findings],
        }
