"""Which models a server serves: asked at the start, and again whenever another server may stand behind the address."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from curate.client.answers import Response, key_refused, quoted
from curate.client.connection import Connection, NoResponse, without_version
from curate.errors import ServerError, nearest
from curate.serving import Serving


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One model of a server's list."""

    name: str
    owner: str = ""
    """Often the software: 'vllm', 'sglang', 'llamacpp'."""
    root: str | None = None
    """Repository or folder of the weights, where the server says it."""


async def chosen(connection: Connection, serving: Serving) -> Served:
    """The model to ask: the one named, or the only one. Raises `ServerError` where it is not served, or the server not there."""
    try:
        served = await _list(connection)
    except NoResponse as problem:
        hint = without_version(connection.url) if problem.reason == "not_json" else ""
        wrong = f"no server answers at {connection.url} ({problem.detail}); start it, or correct the address{hint}"
        raise ServerError(wrong) from None
    if served is None:
        if serving.model is None:
            unlisted = f"{connection.url} does not list its models; name the one to ask{without_version(connection.url)}"
            raise ServerError(unlisted)
        return Served(name=serving.model)
    if serving.model is not None:
        if serving.model not in served:
            others = connection.redact(nearest(serving.model, served)) or "It serves none."
            raise ServerError(f"{connection.url} does not serve '{connection.redact(serving.model)}'. {others}")
        return served[serving.model]
    if len(served) != 1:
        names = connection.redact(", ".join(sorted(served)[:12])) or "none"
        raise ServerError(f"{connection.url} serves {len(served)} models; name the one to ask: {names}")
    return next(iter(served.values()))


async def still_there(connection: Connection, model: Served) -> None:
    """Raises `ServerError` where the server serves another model now, `NoResponse` where it does not answer or is not ready."""
    served = await _list(connection)
    if served is None:
        return
    now = served.get(model.name)
    if now is None or (now.root is not None and model.root is not None and now.root != model.root):
        names = connection.redact(", ".join(sorted(served)[:12])) if now is None else f"{model.name} from other weights"
        raise ServerError(
            f"{connection.url} served '{model.name}' when this run began and now serves {names or 'nothing'}; "
            "answers of two models are not mixed: start the first again, or begin a new run"
        )


async def software(connection: Connection, model: Served) -> str:
    """Software and version as far as the server says them: 'vllm 0.33.0'."""
    try:
        response = await connection.look("/version", beside=True)
    except NoResponse:
        return model.owner
    document = _json(response) if response.status == 200 else None
    version = document.get("version") if isinstance(document, dict) else None
    words = " ".join(part for part in (model.owner, version if isinstance(version, str) else "") if part)
    return connection.redact(words)[:100]


async def _list(connection: Connection) -> dict[str, Served] | None:
    """The models by name; None where the server has no such list."""
    response = await connection.look("/models")
    if response.status in {401, 403}:
        said = quoted(response.body, connection.redact)
        raise key_refused(connection.url, said, sent=connection.sends_key)
    if 300 <= response.status < 400:
        raise ServerError(
            f"{connection.url} sends its visitors elsewhere, where curate does not follow; give the server's own address"
        )
    if response.status in {404, 405, 501}:
        return None
    document = _json(response) if response.status == 200 else None
    entries = document.get("data") if isinstance(document, dict) else None
    if response.status != 200:
        raise NoResponse(f"http_{response.status}", f"it answers with status {response.status}")
    if not isinstance(entries, list):
        raise NoResponse("not_json", "what answers there is no OpenAI-compatible server")
    models = [_served(entry) for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)]
    return {model.name: model for model in models}


def _served(entry: Mapping[str, Any]) -> Served:
    owner, root = entry.get("owned_by"), entry.get("root")
    return Served(
        name=str(entry["id"]),
        owner=owner if isinstance(owner, str) else "",
        root=root if isinstance(root, str) and root else None,
    )


def _json(response: Response) -> object:
    try:
        return json.loads(response.body)
    except (ValueError, RecursionError):
        return None
