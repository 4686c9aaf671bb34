"""The demo: a backup's way to Dropbox and back, through a real Home Assistant, on one machine."""
