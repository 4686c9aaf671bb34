"""Backups on this Home Assistant, and where their bytes come from."""
