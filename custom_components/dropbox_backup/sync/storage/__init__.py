"""What survives a restart of Home Assistant."""
