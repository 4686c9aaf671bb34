"""Tests of Dropbox Backup: docs/architecture.md says what is in which folder."""
