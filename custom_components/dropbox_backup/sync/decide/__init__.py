"""What follows from what is known: pure, without I/O."""
