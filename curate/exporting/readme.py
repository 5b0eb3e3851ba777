"""The README of an export: what it is, how it was made, under which licences, and how it is used and repeated."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping, Sequence

from curate.exporting.formats import Exported, Format
from curate.exporting.options import Options
from curate.exporting.source import CardInfo
from curate.records import Funnel
from curate.version import __version__

FILES = "files "
"""Before the digest of the files in the front matter."""


def versions() -> dict[str, str]:
    """What wrote the export."""
    import pyarrow as pa

    return {"curate": __version__, "python": platform.python_version(), "pyarrow": pa.__version__}


def readme(form: Format, exported: Exported, options: Options, cards: Sequence[CardInfo], *, digest: str) -> str:
    """The README as Markdown, with front matter where `datasets` can read the folder. The same inputs give the same text.

    `digest` is of the files.
    """
    parts = [
        _front_matter(exported.data_files, digest),
        f"# A `{form.name}` export of curate\n\n{form.about}",
        _rows(exported.splits),
        _funnels([*options.funnels, *exported.funnels]),
        _notes(exported.notes),
        _recipe(options),
        _raters(cards),
        "## Use it\n\nRun from inside this folder.\n\n" + form.use.strip(),
        _repeat(options.command),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(data_files: Mapping[str, str], digest: str) -> str:
    """Says which files are which split, so that nothing has to guess.

    `datasets` keeps what it has loaded by the name of the folder and what stands here, and looks at no file: without the digest
    it would give the rows of another dataset whose folder has the same name.
    """
    if not data_files:
        return ""
    lines = [f"  - split: {split}\n    path: {pattern}" for split, pattern in data_files.items()]
    config = f"- config_name: default\n  description: {FILES}{digest}\n  data_files:\n"
    return "---\nconfigs:\n" + config + "\n".join(lines) + "\n---"


def _rows(splits: Mapping[str, int]) -> str:
    return _table(("split", "rows"), [(split, f"{rows:,}") for split, rows in splits.items()])


def _funnels(funnels: Iterable[Funnel]) -> str:
    rows: list[tuple[str, ...]] = []
    for funnel in funnels:
        rows.append((funnel.step, funnel.unit, "in", f"{funnel.taken:,}"))
        rows += [("", "", reason, f"−{count:,}") for reason, count in sorted(funnel.dropped.items())]
        rows.append(("", "", "out", f"{funnel.kept:,}"))
    return "## What became of the input\n\n" + _table(("step", "unit", "", "count"), rows)


def _notes(notes: Sequence[str]) -> str:
    return "## Notes\n\n" + "\n".join(f"- {note}" for note in notes) if notes else ""


def _recipe(options: Options) -> str:
    if not options.recipe:
        return ""
    return "## Recipe\n\n" + _fenced("json", json.dumps(dict(options.recipe), indent=2, ensure_ascii=False, allow_nan=False))


def _raters(cards: Sequence[CardInfo]) -> str:
    if not cards:
        return ""
    ordered = sorted(cards, key=lambda card: (card.name, card.fingerprint))
    table = _table(
        ("card", "fingerprint", "licence", "commercial use"),
        [(card.name, f"`{card.fingerprint}`", card.licence, _commercial(card.commercial)) for card in ordered],
    )
    forbidden = [card.name for card in ordered if card.commercial is False]
    warning = (
        f"\n\n**Not for commercial use:** the licence of {', '.join(forbidden)} forbids it, and these data were chosen by "
        f"{'it' if len(forbidden) == 1 else 'them'}. The licences of the images and prompts are not known here."
    )
    return "## Raters\n\n" + table + (warning if forbidden else "")


def _commercial(allowed: bool | None) -> str:
    return {True: "allowed", False: "**forbidden**", None: "not said"}[allowed]


def _repeat(command: str) -> str:
    text = ", ".join(f"{name} {version}" for name, version in versions().items())
    made = f"## Repeat it\n\nMade with {text}. `curate.json` lists every file with its SHA-256."
    return f"{made}\n\n{_fenced('sh', command)}" if command else made


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _fenced(language: str, text: str) -> str:
    """A code block whose fence is longer than any run of backticks inside."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"
