"""Nothing is deleted on account of what is no longer there."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from homeassistant.core import HomeAssistant
import pytest

from custom_components.dropbox_backup.const import CONF_KEEP
from custom_components.dropbox_backup.sync import keeper as keeper_module
from custom_components.dropbox_backup.sync.models import RemoteBackup
from custom_components.dropbox_backup.sync.retention import Verdict, judge
from tests.dropbox_server import DropboxServer
from tests.world import archives, make_backup, reconciler_of, set_up_entry, wait_until_idle

pytestmark = pytest.mark.usefixtures("quick_worker")


async def test_a_backup_that_vanishes_while_the_others_are_judged_takes_none_with_it(
    hass: HomeAssistant, dropbox_server: DropboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = await set_up_entry(hass, dropbox_server, options={CONF_KEEP: 2})
    for name in ("Old", "New"):
        await make_backup(hass, name)
        await wait_until_idle(hass, entry)
    reconciler = reconciler_of(entry)
    keeper, folder = reconciler.keeper, reconciler.folder
    new = folder.backups[0]
    monkeypatch.setattr(keeper, "_policy", replace(keeper._policy, keep=1))
    loop = asyncio.get_running_loop()

    async def vanish() -> None:
        dropbox_server.account.files.delete(folder.path_of(new.file.name))
        await folder.refresh()

    def slow_judge(
        backups: Iterable[RemoteBackup], keep: int, instance_id: str
    ) -> tuple[Verdict, ...]:
        verdicts = judge(backups, keep, instance_id)
        if new in backups:
            asyncio.run_coroutine_threadsafe(vanish(), loop).result(10)
        return verdicts

    monkeypatch.setattr(keeper_module, "judge", slow_judge)
    verdicts = await keeper.apply_retention()
    assert [verdict.keep for verdict in verdicts] == [True]
    assert archives(dropbox_server) == [folder.path_of(folder.backups[0].file.name)]
