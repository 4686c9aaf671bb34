"""The client of tests/dropbox_api, for what stands on it."""

from tests.dropbox_api.conftest import account, client, session, tokens

__all__ = ["account", "client", "session", "tokens"]
