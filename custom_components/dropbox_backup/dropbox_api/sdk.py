"""The official SDK's generated routes and types, and no more of it: see `lazy_sdk`."""

from dropbox import content_hash, files, session, users
from dropbox.stone_serializers import json_decode, json_encode

__all__ = ["content_hash", "files", "json_decode", "json_encode", "session", "users"]
