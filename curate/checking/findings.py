"""What a check says: one finding for each row that would hurt, with the place, the rule and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    """Its readers crash on it, or learn the wrong thing from it."""
    WARNING = "warning"
    """Its readers run, and learn less or something a little different."""
    NOTE = "note"
    """Worth knowing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong, and where."""

    severity: Severity
    rule: str
    """Name of the rule, for counting and for looking it up in docs/formats.md."""
    file: str | None
    """Relative to the folder; None for the folder as a whole."""
    row: int | None
    """From 0, within the file; None for the file as a whole."""
    message: str
    fix: str
    name: str | None = None
    """Of a row that has one, by which people find it: a member of a shard."""

    def __str__(self) -> str:
        place = self.file or "the folder"
        if self.name is not None:
            place += f", {self.name}"
        elif self.row is not None:
            place += f", row {self.row}"
        return f"{self.severity}: {place}: {self.message} [{self.rule}] {self.fix}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a check is looking; makes findings about it."""

    file: str | None = None
    row: int | None = None
    name: str | None = None

    def error(self, rule: str, message: str, fix: str) -> Finding:
        return self._finding(Severity.ERROR, rule, message, fix)

    def warning(self, rule: str, message: str, fix: str) -> Finding:
        return self._finding(Severity.WARNING, rule, message, fix)

    def note(self, rule: str, message: str, fix: str) -> Finding:
        return self._finding(Severity.NOTE, rule, message, fix)

    def _finding(self, severity: Severity, rule: str, message: str, fix: str) -> Finding:
        return Finding(severity=severity, rule=rule, file=self.file, row=self.row, name=self.name, message=message, fix=fix)
