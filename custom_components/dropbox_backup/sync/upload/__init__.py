"""Brings backups to Dropbox, under the rules that hold now."""
