"""The backup folder in Dropbox."""
