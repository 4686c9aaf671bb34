"""What a user sees, whatever part of the code brings it about."""
