"""Rating: shards stream through decode workers and raters, and each shard's rows are committed at once.

    read (threads) ──chunks──> decode workers (processes) ──items──> raters (a thread each) ──judgements──> commit

run            plans what is missing, and has it rated: the way in
options        what a user may say of a run
sources, units where units come from, and a unit's rows while it is under way
reader         reads ahead, in threads
desk           every sample under way, the questions asked about it, the answers that came in, and which were known before
admission      which samples a rater can be asked about, and what has to be done to one before
engine         the loop that ties all of this together
pool           the decode workers, and what happens when one dies
process        one of them, as the engine sees it
worker         what runs inside it
tasks          the messages between the engine and a decode worker
watching       videos, frame by frame
lanes          raters, each pulling items in a thread of its own
answers        from judgements to rows
committing     from a unit under way to the store
comparing      raters of pairs, group by group
pairing        which pairs of a group they are asked about
estimating     what a run would ask, with nothing asked
notices        what a run says once
report         what a run did, in numbers that add up
"""
