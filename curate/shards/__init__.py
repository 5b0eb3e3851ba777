"""Shards in and out: tar archives in webdataset's convention, read as streams, decoded, and written so that others can read them.

sources, braces     which shards are meant, and opening them wherever they lie
compress            gzip and zstd, as streams that say when they are damaged
tar                 members of an archive, with nothing trusted
grouping            members that share a key become records; whatever cannot be trusted becomes a reject with a reason
layouts, guessing   what the members of a record mean: response, prompt, conditions
samples, texts      records made into samples, as their layout says
fetch               any member again, by where it lies
write               shards that webdataset reads back
media, resize       decoding and classic resizing
"""
