"""For how many seconds a call that fails is repeated, by who waits for it."""

# After that the worker waits and starts over, where it stopped.
WORKER = 120.0
# The listing right before a deletion: somebody may wait for that.
BEFORE_DELETION = 60.0
# Somebody looks at a page that does not open before.
PERSON = 5.0
