"""Images on their way into an export: read from their shard, compared with what was rated, never re-encoded."""

from __future__ import annotations

import errno
import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from curate.errors import CurateError
from curate.exporting.alike import same_pixels, sign_of
from curate.exporting.source import SampleInfo, Source
from curate.files import OUT_OF_SPACE
from curate.records import Media, Member
from curate.shards.media import MediaError, probe_image

_EXTENSIONS: Mapping[str, str] = {
    "avif": "avif",
    "bmp": "bmp",
    "gif": "gif",
    "jpeg": "jpg",
    "jpeg2000": "jp2",
    "png": "png",
    "ppm": "ppm",
    "tiff": "tif",
    "webp": "webp",
}
CHANGED = "media changed since it was read"
_MOST_ENTRIES = 4096
_OURS = OUT_OF_SPACE | {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""Errors of this machine, which would come for every sample, rather than of one shard."""


@dataclass(frozen=True, kw_only=True)  # no slots, for the cached property
class Image:
    """The original bytes of a response that is one image."""

    data: bytes
    digest: str
    """SHA-256 of the bytes, hex."""
    extension: str
    """By what the bytes are, not by what their member was called."""
    width: int
    """Pixels, after rotation by EXIF."""
    height: int

    @property
    def name(self) -> str:
        """A file name from the content alone, in one of 256 folders."""
        return f"{self.digest[:2]}/{self.digest}.{self.extension}"

    @cached_property
    def sign(self) -> str:
        """Equal for the same picture in other bytes, where `alike` can tell."""
        return sign_of(self.data, self.extension)

    def is_same_picture(self, other: Image) -> bool:
        """Whether both have the same pixels, so that nothing tells them apart."""
        return self.sign == other.sign and same_pixels(self.data, other.data)


class MediaProblem(Exception):
    """Why a sample's image cannot be part of an export; the reason is a line of the funnel."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def read_member(source: Source, shard: str, member: Member) -> bytes:
    """The bytes of a member. Raises `MediaProblem` where they cannot be had; a machine out of space or files still raises."""
    try:
        return source.read(shard, member)
    except (CurateError, OSError) as problem:
        cause = problem if isinstance(problem, OSError) else problem.__cause__
        if isinstance(cause, OSError) and cause.errno in _OURS:
            raise
        raise MediaProblem("media cannot be read") from problem


class ImageReader:
    """Reads the images of samples; keeps the latest within a budget of bytes, as pairs of one group share images."""

    def __init__(self, source: Source, *, cache_bytes: int) -> None:
        self._source = source
        self._budget = cache_bytes
        self._held: OrderedDict[str, Image | str] = OrderedDict()
        self._held_bytes = 0

    def read(self, info: SampleInfo) -> Image:
        """The image of a sample. Raises `MediaProblem` where it is none, cannot be read, or is not what was rated."""
        key = info.sample.id
        if key in self._held:
            self._held.move_to_end(key)
            found = self._held[key]
        else:
            found = self._keep(key, self._response(info))
        if isinstance(found, str):
            raise MediaProblem(found)
        return found

    def read_medium(self, shard: str, medium: Media) -> Image:
        """One medium of a record that lies in `shard`. Raises `MediaProblem` as `read` does."""
        if medium.kind != "image" or medium.member is None:
            raise MediaProblem("medium is not an image")
        data = read_member(self._source, shard, medium.member)
        if hashlib.sha256(data).hexdigest() != medium.digest:
            raise MediaProblem(CHANGED)
        try:
            width, height, format_name = probe_image(data)
        except MediaError as problem:
            raise MediaProblem("media is not a readable image") from problem
        return Image(data=data, digest=medium.digest, extension=_EXTENSIONS[format_name], width=width, height=height)

    def _response(self, info: SampleInfo) -> Image | str:
        if len(info.sample.response) != 1:
            return "response is several images"
        try:
            return self.read_medium(info.sample.shard, info.sample.response[0])
        except MediaProblem as problem:
            return problem.reason

    def _keep(self, key: str, found: Image | str) -> Image | str:
        self._held[key] = found
        self._held_bytes += _size(found)
        while len(self._held) > 1 and (self._held_bytes > self._budget or len(self._held) > _MOST_ENTRIES):
            _, dropped = self._held.popitem(last=False)
            self._held_bytes -= _size(dropped)
        return found


def _size(found: Image | str) -> int:
    return 0 if isinstance(found, str) else len(found.data)
