"""Where Dropbox answers. The SDK knows, and honours its own environment variables."""

from .sdk import session


def web() -> str:
    """Return the host of the pages that a person sees."""
    return str(session.WEB_HOST)


def api() -> str:
    """Return the host of the calls without a body, and of the access tokens."""
    return str(session.API_HOST)


def content() -> str:
    """Return the host of uploads and downloads."""
    return str(session.API_CONTENT_HOST)


def notify() -> str:
    """Return the host of longpolls."""
    return str(session.API_NOTIFICATION_HOST)
