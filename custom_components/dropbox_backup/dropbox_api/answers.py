"""What an answer of Dropbox means: a result, or one of our errors.

https://www.dropbox.com/developers/documentation/http/documentation#error-handling
"""

import asyncio
from collections.abc import Callable
from email.utils import parsedate_to_datetime
import json
import math
import re
import time
from typing import Any, TypeIs

import aiohttp

from ..codes import Reason
from ..untrusted import whole_characters
from .errors import (
    DropboxError,
    Fault,
    RateLimitedError,
    RefusedError,
    SignInError,
    UnreachableError,
    refusal,
)
from .rate_limit import capped
from .sdk import json_decode

# SDK route objects are generated code without types.
type Route = Any

_LONGEST_REASON = 200
# Bytes of an error that are looked at, and seconds that they may take.
_LARGEST_ERROR = 64 * 1024
_LONGEST_ERROR = 60.0
# Tags and ids are shown and stored: what looks otherwise was not made by Dropbox.
_TAG = re.compile(r"[\w.]{1,100}", re.ASCII)
_NOT_IN_ID = re.compile(r"[^\w.-]", re.ASCII)
_LONGEST_ID = 64
_REQUIRED_SCOPE = re.compile(r"required scope '([\w.]+)'")


async def read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Return the body, which may come in many pieces; of a longer one the first `limit` bytes."""
    body = bytearray()
    while len(body) < limit and (piece := await response.content.read(limit - len(body))):
        body += piece
    return bytes(body)


def request_id_of(response: aiohttp.ClientResponse) -> str | None:
    """Return what Dropbox's support asks for, if it is in the answer."""
    return (
        _NOT_IN_ID.sub("", response.headers.get("X-Dropbox-Request-Id", ""))[:_LONGEST_ID] or None
    )


def decode[T](
    route: Route, text: str, response: aiohttp.ClientResponse, convert: Callable[[Any], T]
) -> T:
    """Return what `convert` makes of the route's result. Anything that is not one is somebody
    else's answer, such as a captive portal's.
    """
    try:
        return convert(json_decode(route.result_type, whole_characters(text), strict=False))
    except Exception as err:
        raise UnreachableError(Fault.ANSWER_OF_ANOTHER, request_id_of(response)) from err


async def error_of(response: aiohttp.ClientResponse) -> DropboxError:
    """Return what an answer with a bad status says."""
    # One that breaks off is not judged: half of it may say something else.
    async with asyncio.timeout(_LONGEST_ERROR):
        text = (await read(response, _LARGEST_ERROR)).decode("utf-8", "replace")
    # Dropbox quotes a header that it can't read.
    secret = response.request_info.headers.get("Authorization", "").partition(" ")[2]
    return _judge(response, text.replace(secret, "***") if secret else text)


def _judge(response: aiohttp.ClientResponse, text: str) -> DropboxError:
    """Return what an error says, or if that can't be read, what its status says."""
    request_id = request_id_of(response)
    answer = _json_of(text)
    tags = _tags(answer)
    reason = "/".join(tags)
    match response.status:
        # The login page of a hotel's network may have these numbers too.
        case 401 | 403 if not reason and request_id is None:
            return UnreachableError(_unexpected(response.status))
        case 401:
            return SignInError(reason or Fault.SIGN_IN_REFUSED, request_id, tags=tags)
        case 403:
            return RefusedError(reason or Fault.ACCESS_DENIED, request_id, tags=tags)
        case 409 if reason:
            return refusal(tags, request_id)
        case 416:
            return RefusedError("range/not_satisfiable", request_id)
        case 422:
            return RefusedError(f"path_root/{reason}", request_id, tags=tags)
        case 429:
            wait = _retry_after(response, answer)
            return RateLimitedError(reason or Fault.ASKED_TOO_MUCH, request_id, wait, tags=tags)
        # Dropbox tells in plain text what is wrong with the request. A page of somebody's proxy is
        # not Dropbox's.
        case 400 if request_id is not None:
            # An app that lost a permission is told so in plain text only.
            if scope := _REQUIRED_SCOPE.search(text):
                tags = ["missing_scope", scope[1]]
                return SignInError("/".join(tags), request_id, tags=tags)
            return RefusedError(_one_line(text) or Fault.BAD_REQUEST, request_id)
        case status:
            return UnreachableError(_unexpected(status), request_id)


def _unexpected(status: int) -> Reason:
    return Reason.of(Fault.UNEXPECTED_STATUS, status=status)


def _json_of(text: str) -> Any:  # Any: of unknown shape
    try:
        return json.loads(text)
    except ValueError, RecursionError:
        return None


def _tags(answer: Any) -> list[str]:  # Any: JSON of unknown shape
    """Return Dropbox's error as its path of tags: `{".tag": "path", "path": {".tag": "x"}}` is
    `[path, x]`.
    """
    node = answer.get("error") if isinstance(answer, dict) else None
    tags: list[str] = []
    while isinstance(node, dict):
        tag = node.get(".tag")
        if _is_tag(tag):
            tags.append(tag)
            if _is_tag(scope := node.get("required_scope")):
                tags.append(scope)
        following = [node.get("reason"), node.get(tag) if isinstance(tag, str) else None]
        node = next((child for child in following if isinstance(child, dict)), None)
    return tags


def _is_tag(value: object) -> TypeIs[str]:
    return isinstance(value, str) and _TAG.fullmatch(value) is not None


def _retry_after(response: aiohttp.ClientResponse, answer: Any) -> float | None:
    """Return how many seconds to wait, from the header (seconds or a date) or from the body; as
    `capped` allows.
    """
    header = response.headers.get("Retry-After", "")
    error = answer.get("error") if isinstance(answer, dict) else None
    for value in (header, error.get("retry_after") if isinstance(error, dict) else None):
        try:
            seconds = float(value or "")
        except TypeError, ValueError, OverflowError:
            continue
        if not math.isnan(seconds):
            return capped(seconds)
    try:
        return capped(parsedate_to_datetime(header).timestamp() - time.time())
    except TypeError, ValueError, OverflowError, OSError:
        return None


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_LONGEST_REASON]
