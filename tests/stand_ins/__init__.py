"""The local Dropbox and the Supervisor stand-in behave as the real ones do."""
