"""Selecting: filter, rank and pair as queries over a view of what is stored. No rater is called, no media are read.

filtering, ranking, pairing  the three verbs
options                      what they can be asked for, checked before any work
run, output                  what they share: the engine, how a result was made, its file
engine                       the database, with everything else locked out
expression                   `--where` and `--by`: from text to checked SQL
tokens, syntax, parser       words, tree, and from the one to the other
names, compiler              what a name means, and typed SQL
fragments, functions         pieces of SQL with their guards; what can be called
samples                      which samples enter, and why the others do not
slices                       whole groups, as many as fit in memory
strategies, pair_batches     which samples are compared; slice by slice, pairs come about
judging, caps                what becomes of a candidate pair; at most so many of a group
closeness                    when values are equal, and margins met, but for rounding
splits                       no prompt on two sides
"""

from __future__ import annotations

from curate.select.expression import Expression, parse
from curate.select.filtering import Filtered, filter  # noqa: A004 - the verb of the command line
from curate.select.pairing import Pairs, pair
from curate.select.ranking import Rankings, rank
from curate.standings import bradley_terry, win_rates

__all__ = ["Expression", "Filtered", "Pairs", "Rankings", "bradley_terry", "filter", "pair", "parse", "rank", "win_rates"]
