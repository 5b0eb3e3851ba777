"""Selecting: filter, rank and pair as queries over a view of what is stored. No rater is called, no media are read."""

from __future__ import annotations

from curate.select.expression import Expression, parse
from curate.select.filtering import Filtered, filter  # noqa: A004 - the verb of the command line
from curate.select.pairing import Pairs, pair
from curate.select.ranking import Rankings, rank
from curate.standings import bradley_terry, win_rates

__all__ = ["Expression", "Filtered", "Pairs", "Rankings", "bradley_terry", "filter", "pair", "parse", "rank", "win_rates"]
