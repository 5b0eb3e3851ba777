"""Who answers behind an address: the model that a server is asked for, the server itself, and the weights it says it serves.

The name of a model is part of the card and of every key, and whoever starts a server chooses it. So the store remembers which
weights stood behind a name when it was first asked, and answers of others under that name are not mixed with theirs.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from curate.asks import Model
from curate.errors import ServerError
from curate.rater_settings import Settings
from curate.serving import Serving
from curate.store.replies import Replies

if TYPE_CHECKING:
    from curate.client.server import Server

MOST_LETTERS = 300
"""Of what a server says its weights are."""

_SNAPSHOT = re.compile(r".*/models--([^/]+)/snapshots/([^/]+)/?")
"""A folder of the hub's cache: organisation and name, commit."""

_NO_NAME = re.compile(
    r"(checkpoint|epoch|step|global_?step|iter)?[-_]?\d*|best|final|hf|last|latest|merged|model|output|weights", re.IGNORECASE
)
"""Last parts of paths that do not name a model: where trainings leave what they made."""


def served_model(serving: Serving) -> str:
    """The model that a server is to be asked for: the one named, or the only one that it serves."""
    if serving.model is not None:
        return serving.model
    from curate.client.probe import only_model

    return only_model(serving)


def open_server(settings: Settings, serving: Serving, resources: ExitStack) -> Server:
    """The server of the run, which its judges share; where there is no run one of its own, which `resources` close."""
    from curate.client.server import Server

    if settings.shared is not None:
        return settings.shared.get(Server, lambda: Server(serving), Server.close)
    server = Server(serving)
    resources.callback(server.close)
    return server


def weights_of(server: Server) -> str | None:
    """Repository or folder of the weights, where the server says it; without its key, and in characters that any file takes."""
    from curate.client.secrets import Redactor, read_key

    root = server.found.served.root
    if root is None:
        return None
    said = Redactor(read_key(server.serving))(root).encode("ascii", "backslashreplace").decode()
    return "".join(letter if letter.isprintable() else " " for letter in said)[:MOST_LETTERS]


def check_same_weights(replies: Replies, model: Model, weights: str) -> None:
    """Raises `ServerError` where replies under the name of this model came from other weights; unknown ones do not differ."""
    before = replies.weights_of(model)
    if before is not None and not may_be_same(before, weights):
        raise ServerError(
            f"the server's '{model.name}' is {weights} now, and what {replies.path} holds under this name came from {before}; "
            "answers of two models are not mixed: serve it under a name of its own, rate into another store, or, where the "
            "weights are the same, serve them from a folder of the same name"
        )


def may_be_same(one: str, other: str) -> bool:
    """Whether two servers may mean the same weights, each by a repository ('org/name') or by where they lie.

    Folders are moved, so where one is a path it is names that count: the last part of each, and the parts before it up to one
    that names a model. A folder of the hub's cache stands for its repository; two of different commits are different weights.
    """
    if one == other:
        return True
    first, second = _SNAPSHOT.fullmatch(one), _SNAPSHOT.fullmatch(other)
    if first and second:
        return first.groups() == second.groups()
    one, other = (found[1].replace("--", "/", 1) if found else said for said, found in ((one, first), (other, second)))
    if _is_path(one) or _is_path(other):
        return _name(one) == _name(other)
    return one == other


def _is_path(weights: str) -> bool:
    """Whether this is a folder, or an address, rather than a repository of the hub."""
    return weights.startswith("/") or weights.rstrip("/").count("/") > 1


def _name(weights: str) -> tuple[str, ...]:
    """The end of a path, as much of it as it takes to name a model; all of it where no part does."""
    parts = PurePosixPath(weights).parts
    named = [place for place, part in enumerate(parts) if not _NO_NAME.fullmatch(part)]
    return parts[named[-1] if named else 0 :]
