"""curate: shards of images, edits, videos and captions in; ratings kept; preference datasets out.

    import curate

    curate.rate("shards/*.tar", raters=["signal"], store="store/")
    curate.pair("store/", by="signal", format="diffusers-dpo", out="dpo/")

The verbs load what they need when they are first used, so that importing curate is cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from curate.content import content
from curate.errors import CurateError
from curate.version import __version__

if TYPE_CHECKING:
    from curate.api import (
        card,
        check,
        convert,
        estimate,
        export,
        filter,  # noqa: A004
        pair,
        parity,
        rank,
        rate,
        rate_stream,
        scorer,
        show,
    )

__all__ = [
    "CurateError",
    "__version__",
    "card",
    "check",
    "content",
    "convert",
    "estimate",
    "export",
    "filter",
    "pair",
    "parity",
    "rank",
    "rate",
    "rate_stream",
    "scorer",
    "show",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> object:
    if name in __all__:
        from curate import api

        return getattr(api, name)
    raise AttributeError(f"module 'curate' has no attribute {name!r}")
