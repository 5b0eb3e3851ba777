"""The command line: parse, call the public function of the same name, print.

Whatever a command does, a notebook can do with `curate.NAME`; nothing here decides anything about data. Each command
imports what it needs when it runs, so that `curate --help` answers at once.

app                                 the commands, grouped
judging, selecting, datasets        rate; filter, rank, pair; export, check
looking, raters, demo               show; raters; demo
options, serving                    options that several commands share, and what they say of a server
session                             where a command prints, what it logs, and how it ends
display, tables, cards              progress, tables and cards for people
"""

from __future__ import annotations

import io
import sys


def main() -> None:
    """The entry point of the command `curate`."""
    from curate.cli.app import app

    for stream in (sys.stdout, sys.stderr):
        # A terminal that knows no Unicode shows '?' for what it lacks; it must not end a run.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    app(prog_name="curate")
