"""Asks an OpenAI-compatible chat server: the only code of curate's judges that uses the network.

backend             the door: a `curate.asks.Backend`
server              a server, opened once, in a thread of its own; shared by any number of backends
session             all that talks to it, put together in one event loop
dispatch            what is sent now, what later, what again; every ask gets exactly one answer
exchange            one try at one ask: made into a request, sent, and read
payload             from an ask to the body of a request
connection          HTTP, by aiohttp, which no other module knows
answers             from a response to a reply, to trouble, or to another try
logprobs            from the log-probabilities of an answer's first token to a distribution over labels
token_ids           the tokens of labels, as the server's own tokenizer has them
retries, breaker    what is tried again and when; when a server is held to be gone
pace, budget        how much is asked at once, and at all
watch               looks after a server that fails, or that seems to be another
identity            which models a server serves, and by which software
probe, capabilities what a server can do, found out by asking it, and the record of it
canary, swatches    whether it mixes up pictures, tested with pictures of one colour
secrets             where keys come from, and what keeps them out of messages
"""
