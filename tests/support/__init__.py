"""What tests use: the local Dropbox, the stand-in Supervisor, real Home Assistants, helpers."""
