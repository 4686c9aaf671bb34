"""The border to Dropbox's own schema: the SDK's generated types judge every argument and result.

Stone's classes carry no type information, so everything that comes from them is `Any` here and in
the route handlers; nothing else in this package is.
"""

from __future__ import annotations

from dataclasses import dataclass
import importlib
import json
from typing import Any

# Imported by name, because the SDK ships no types: this way the checker needs no exceptions.
files: Any = importlib.import_module("dropbox.files")
users: Any = importlib.import_module("dropbox.users")
users_common: Any = importlib.import_module("dropbox.users_common")
team_common: Any = importlib.import_module("dropbox.team_common")
common: Any = importlib.import_module("dropbox.common")
auth: Any = importlib.import_module("dropbox.auth")
_serializers: Any = importlib.import_module("stone.backends.python_rsrc.stone_serializers")
_validators: Any = importlib.import_module("stone.backends.python_rsrc.stone_validators")

READ_ACCOUNT = "account_info.read"
READ_METADATA = "files.metadata.read"
WRITE_METADATA = "files.metadata.write"
READ_CONTENT = "files.content.read"
WRITE_CONTENT = "files.content.write"
ALL_SCOPES = (READ_ACCOUNT, READ_METADATA, WRITE_METADATA, READ_CONTENT, WRITE_CONTENT)
# What the routes below ask for. Writing metadata is for the properties of files only.
NEEDED_SCOPES = (READ_ACCOUNT, READ_METADATA, READ_CONTENT, WRITE_CONTENT)


class SchemaError(ValueError):
    """An argument that does not fit Dropbox's schema; the text is Stone's own."""


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """One route: its wire style, its scope and its Stone types."""

    name: str
    route: Any
    scope: str | None

    @property
    def style(self) -> str:
        """`rpc`, `upload` or `download`."""
        return str(self.route.attrs["style"])

    @property
    def takes_argument(self) -> bool:
        """False for routes whose argument is Stone's Void."""
        return not isinstance(self.route.arg_type, _validators.Void)

    @property
    def needs_token(self) -> bool:
        """False for longpoll, the only route without authorization."""
        return str(self.route.attrs["auth"]) != "noauth"


def _spec(namespace: str, module: Any, key: str, scope: str | None) -> RouteSpec:
    route = module.ROUTES[key]
    version = f"_v{route.version}" if route.version > 1 else ""
    return RouteSpec(f"{namespace}/{route.name}{version}", route, scope)


# Scopes are named in the docstrings of the SDK's `base.py` ("Route attributes: scope: ...").
ROUTES: dict[str, RouteSpec] = {
    spec.name: spec
    for spec in (
        _spec("users", users, "get_current_account", READ_ACCOUNT),
        _spec("users", users, "get_space_usage", READ_ACCOUNT),
        _spec("auth", auth, "token/revoke", None),
        _spec("files", files, "upload", WRITE_CONTENT),
        _spec("files", files, "upload_session/start", WRITE_CONTENT),
        _spec("files", files, "upload_session/append:2", WRITE_CONTENT),
        _spec("files", files, "upload_session/finish", WRITE_CONTENT),
        _spec("files", files, "upload_session/finish_batch:2", WRITE_CONTENT),
        _spec("files", files, "download", READ_CONTENT),
        _spec("files", files, "list_folder", READ_METADATA),
        _spec("files", files, "list_folder/continue", READ_METADATA),
        _spec("files", files, "list_folder/get_latest_cursor", READ_METADATA),
        _spec("files", files, "list_folder/longpoll", None),
        _spec("files", files, "get_metadata", READ_METADATA),
        _spec("files", files, "create_folder:2", WRITE_CONTENT),
        _spec("files", files, "delete:2", WRITE_CONTENT),
        _spec("files", files, "move:2", WRITE_CONTENT),
        _spec("files", files, "list_revisions", READ_METADATA),
        _spec("files", files, "restore", WRITE_CONTENT),
        _spec("files", files, "search:2", READ_METADATA),
    )
}


def decode_argument(spec: RouteSpec, text: str) -> Any:
    """Decode a route's JSON argument strictly, as Dropbox does.

    Raises SchemaError with Stone's message ("unknown field 'x'").
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise SchemaError("could not decode input as JSON") from error
    return _decode(spec.route.arg_type, value)


def decode_path_root(text: str) -> Any:
    """Decode the header `Dropbox-API-Path-Root`; raises SchemaError."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise SchemaError("could not decode input as JSON") from error
    return _decode(common.PathRoot_validator, value)


def _decode(validator: Any, value: object) -> Any:
    try:
        return _serializers.json_compat_obj_decode(validator, value, strict=True)
    except _validators.ValidationError as error:
        raise SchemaError(str(error)) from error


def encode_result(spec: RouteSpec, value: Any) -> object:
    """Encode a route's result; the SDK's validators refuse what Dropbox would never send."""
    return _encode(spec.route.result_type, value)


def encode_error(spec: RouteSpec, error: Any) -> object:
    """Encode a route's error union."""
    return _encode(spec.route.error_type, error)


def encode_auth_error(error: Any) -> object:
    """Encode a 401 body's union."""
    return _encode(auth.AuthError_validator, error)


def encode_path_root_error(error: Any) -> object:
    """Encode a 422 body's union."""
    return _encode(common.PathRootError_validator, error)


def _encode(validator: Any, value: Any) -> object:
    encoded: object = _serializers.json_compat_obj_encode(validator, value)
    return encoded


def error_tags(error: object) -> list[str]:
    """Return the chain of tags that makes `error_summary`: `path`, `conflict`, `file`."""
    tags: list[str] = []
    while isinstance(error, dict) and isinstance(error.get(".tag"), str):
        tags.append(error[".tag"])
        error = next(
            (value for value in error.values() if isinstance(value, dict) and ".tag" in value), None
        )
    return tags
