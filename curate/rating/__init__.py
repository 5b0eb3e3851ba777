"""Rating: shards stream through decode workers and raters, and each shard's rows are committed at once.

    read (threads) ──chunks──> decode workers (processes) ──items──> raters (a thread each) ──judgements──> commit

- `tasks`: the messages between the engine and a decode worker.
- `worker`: what runs inside a decode worker; `pool`: the workers, and what happens when one dies.
- `lanes`: raters, each pulling items in a thread of its own.
- `admission`: which samples a rater is asked about, and which already have their answer.
- `units`: the rows of a shard while it is under way.
- `engine`: the loop that ties them together.
"""
