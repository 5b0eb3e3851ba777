"""Asks an OpenAI-compatible chat server: the only code of curate's judges that uses the network.

`backend` is the door: a `curate.asks.Backend`. Behind it, each for itself: what is sent (`payload`), what comes back (`answers`,
`logprobs`), when again (`retries`, `breaker`), how much at once (`pace`) and at all (`budget`), and what the server is (`probe`,
`canary`). `dispatch` puts them together; `connection` is the only module that knows aiohttp.
"""
