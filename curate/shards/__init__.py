"""Shards in and out: tar archives in webdataset's convention, read as streams, decoded, and written so that others can read them.

sources, braces       which shards are meant, and opening them wherever they lie
compress              gzip and zstd, as streams that say when they are damaged
tar, tar_header       members of an archive, with nothing trusted
limits                how much is read of what may be endless
grouping              members that share a key become records; whatever cannot be trusted becomes a reject with a reason
layouts, guessing     what the members of a record mean: response, prompt, conditions
patterns, values      how a layout names members and places in JSON, and what stands there
samples, texts        records made into samples, as their layout says
fetch                 any member again, by where it lies
write                 shards that webdataset reads back
kinds, image_formats  what a member is, by its name and by its first bytes
media, video          decoding, within limits
jpeg, rgb             JPEG fast; any picture as RGB
orientation, resize   the right way up, and classic resizing
"""
