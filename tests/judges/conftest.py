"""What tests of judges share."""

from __future__ import annotations

from tests.cli.conftest import curate

__all__ = ["curate"]
