"""Keeps background tasks alive after an unexpected error, and logs it."""

import logging

_LOGGER = logging.getLogger(__name__)


class UnexpectedErrors:
    """Tells the log once of each kind of error, with its traceback."""

    def __init__(self, doing: str) -> None:
        """`doing`: what is going on, for the sentence in the log."""
        self._doing = doing
        self._told: set[type[Exception]] = set()

    def tell(self, err: Exception) -> None:
        """Tell of an error, at the error level if it is the first of its kind."""
        if type(err) in self._told:
            _LOGGER.debug("Once more while %s: %s", self._doing, type(err).__name__)
            return
        self._told.add(type(err))
        _LOGGER.error("Unexpected error while %s; it goes on", self._doing, exc_info=err)
