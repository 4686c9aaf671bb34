"""What an archive of Home Assistant holds, and how it is encrypted."""
