import asyncio
from datetime import timedelta
from .test_backup import *
from .test_supervisor import supervisor, is_in_dropbox, SUPERVISOR_AGENT
from .supervisor import Contents, Fault as SFault
from custom_components.dropbox_backup.sync.models import BackupId
from homeassistant.util import dt as dt_util
from pytest_homeassistant_custom_component.common import async_fire_time_changed
import inspect
for n in [n for n in list(globals()) if n.startswith("test_")]: del globals()[n]

async def test_1(hass, hass_storage, dropbox_server, page, dropbox, entry):
    fill(hass, 9 * MIB)
    stall = dropbox_server.faults.add(Fault(FaultKind.STALL, "files/upload_session/append_v2", seconds=0.5))
    making = asyncio.create_task(page.make(dropbox))
    await wait_until(lambda: stall.applied)
    await hass.config_entries.async_remove(entry.entry_id)
    print(last_result(await making))
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(minutes=1))
    await hass.async_block_till_done()
    assert f"{DOMAIN}.{entry.entry_id}" not in hass_storage

async def test_2(hass, hass_storage, dropbox_server, page, dropbox, entry):
    fill(hass, 9 * MIB)
    stall = dropbox_server.faults.add(Fault(FaultKind.STALL, "files/upload_session/append_v2", seconds=0.5))
    making = asyncio.create_task(page.make(dropbox))
    await wait_until(lambda: stall.applied)
    await hass.config_entries.async_reload(entry.entry_id)
    print(last_result(await making))
    await wait_until_idle(hass, entry)
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(minutes=1))
    await hass.async_block_till_done()
    await hass.config_entries.async_unload(entry.entry_id)
    (b,) = await page.backups() or [None]
    print(hass_storage[f"{DOMAIN}.{entry.entry_id}"])
    assert hass_storage[f"{DOMAIN}.{entry.entry_id}"]["data"]["uploaded"]

async def test_3(hass, dropbox_server, supervisor):
    entry = await set_up_entry(hass, dropbox_server)
    b = await supervisor.make_backup(Contents())
    await wait_until_idle(hass, entry)
    await reconciler_of(entry).keeper.delete([BackupId(b.slug)])
    supervisor.faults.append(SFault("backups", status=503))
    reconciler_of(entry).request("x")
    await wait_until_idle(hass, entry)
    reconciler_of(entry).request("x")
    await wait_until_idle(hass, entry)
    assert not archives(dropbox_server)

async def test_4(hass, dropbox_server, supervisor):
    entry = await set_up_entry(hass, dropbox_server)
    supervisor.faults.append(SFault("backups", status=503))
    b = await supervisor.make_backup(Contents())
    await wait_until_idle(hass, entry)
    print(state_of(entry).status, state_of(entry).problem)
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(minutes=2))
    await asyncio.sleep(0.3)
    await wait_until_idle(hass, entry)
    assert is_in_dropbox(dropbox_server, b)

async def test_5(hass, dropbox_server, supervisor, hass_client, hass_ws_client):
    """HA's own upload through supervisor breaks mid stream."""
    entry = await set_up_entry(hass, dropbox_server)
    page = await BackupPage.open(hass, hass_client, hass_ws_client)
    supervisor.faults.append(SFault("backups/*/download", cut_after=500))
    ev = await page.make(*own_agents(hass))
    print(last_result(ev))
    assert not archives(dropbox_server)
