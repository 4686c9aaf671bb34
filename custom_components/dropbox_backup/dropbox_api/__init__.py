"""Speaks Dropbox. Imports nothing of Home Assistant."""
