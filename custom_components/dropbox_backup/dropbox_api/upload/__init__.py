"""Brings a file to Dropbox in chunks, and proves that it arrived."""
