"""Lets uploads through or holds them back, as the pause and the allowed hours say."""

from collections.abc import Callable
from datetime import datetime

from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.event import async_track_time_change
from homeassistant.util import dt as dt_util
from homeassistant.util.hass_dict import HassKey

from ...const import DOMAIN
from ...dropbox_api.bandwidth import BandwidthLimit
from ...dropbox_api.upload.pool import Lane, UploadPool
from ..decide.models import Policy
from ..decide.upload_window import HoldReason, Origin, hold_of, next_change
from ..storage.journal import Journal

_SPEEDS: HassKey[dict[str, BandwidthLimit]] = HassKey(f"{DOMAIN}_speeds")


class Gate:
    """Stands between the uploads of one account and the line.

    Whoever asks has a lane of their own, so that each can be stopped alone. All lanes share one
    pool: the speed and the memory.
    """

    def __init__(
        self,
        hass: HomeAssistant,
        journal: Journal,
        policy: Policy,
        account: str,
        on_change: Callable[[HoldReason | None], None],
    ) -> None:
        """Apply the rules from the first moment on.

        `on_change` is told when the worker's uploads are held back, or may go on.
        """
        self._hass = hass
        self._journal = journal
        self._policy = policy
        self._on_change = on_change
        self.pool = pool = UploadPool(parallel=policy.chunks_at_once)
        # An upload of Home Assistant's own outlives us when the entry is reloaded: the speed that
        # somebody chooses then is its speed, too.
        pool.speed = hass.data.setdefault(_SPEEDS, {}).setdefault(account, pool.speed)
        pool.speed.bytes_per_second = policy.bytes_per_second
        self._lanes = {origin: Lane(pool) for origin in Origin}
        self._holds: dict[Origin, HoldReason | None] = {}
        self._look(dt_util.now())

    @property
    def policy(self) -> Policy:
        """The rules that hold now."""
        return self._policy

    @callback
    def apply(self, policy: Policy) -> None:
        """Let other rules hold from now on, for what is under way as well."""
        before, self._policy = self._policy, policy
        self.pool.speed.bytes_per_second = policy.bytes_per_second
        if policy.chunks_at_once != before.chunks_at_once:
            self.pool.resize(policy.chunks_at_once)
        self._look(dt_util.now())

    @property
    def hold(self) -> HoldReason | None:
        """Why what the worker uploads by itself is held back, None if it may go."""
        return self._holds[Origin.WORKER]

    @property
    def paused(self) -> bool:
        """Whether the user has paused the uploads."""
        return self._journal.notes.paused

    @property
    def opens_at(self) -> datetime | None:
        """When uploads that wait for the hours may go on."""
        if self.hold is not HoldReason.OUTSIDE_HOURS or self.policy.hours is None:
            return None
        return next_change(dt_util.now(), self.policy.hours)

    def hold_of(self, origin: Origin) -> HoldReason | None:
        """Return why an upload is held back, None if it may go."""
        return self._holds[origin]

    def lane_of(self, origin: Origin) -> Lane:
        """Return the lane of an upload. It stops gently as soon as it is to be held back."""
        return self._lanes[origin]

    @callback
    def pause(self, *, paused: bool) -> None:
        """Hold all uploads back but Home Assistant's own, also after a restart; or let them go."""
        self._journal.notes.paused = paused
        self._journal.changed()
        self._look(dt_util.now())

    @callback
    def watch(self) -> CALLBACK_TYPE:
        """Look at the clock from now on; return how to stop that."""

        @callback
        def time_passed(now: datetime) -> None:
            self._look(now)

        self._look(dt_util.now())
        # Look at the wall clock every minute: then changes of clocks and time zones need no care.
        return async_track_time_change(self._hass, time_passed, second=0)

    @callback
    def _look(self, now: datetime) -> None:
        before = self._holds
        self._holds = {
            origin: hold_of(origin, now, self.policy.hours, paused=self.paused) for origin in Origin
        }
        for origin, lane in self._lanes.items():
            lane.stopped = self._holds[origin] is not None
        if before and before[Origin.WORKER] != self.hold:
            self._on_change(self.hold)
