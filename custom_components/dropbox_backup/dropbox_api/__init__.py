"""Speaks Dropbox. Imports nothing of Home Assistant."""

from .lazy_sdk import register

# Before any module of this package imports the SDK.
register()
