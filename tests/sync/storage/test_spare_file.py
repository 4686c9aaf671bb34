"""The file beside Home Assistant's storage, and several that write it at once."""

import asyncio

from homeassistant.core import HomeAssistant

from custom_components.dropbox_backup.sync.storage.spare_file import SpareFile

NAME = "dropbox_backup.test_several"


async def test_several_may_write_at_once(hass: HomeAssistant) -> None:
    """As an entry that is set up again does, while the one before still writes."""
    files = [SpareFile(hass, NAME) for _ in range(8)]
    contents = [{"number": number, "filler": "x" * 100_000} for number in range(len(files))]
    try:
        for _ in range(10):
            await asyncio.gather(
                *(
                    hass.async_add_executor_job(file.write, content)
                    for file, content in zip(files, contents, strict=True)
                )
            )
            assert await hass.async_add_executor_job(files[0].read) in contents
    finally:
        files[0].remove()
    assert not list(files[0].path.parent.glob(f"{files[0].path.name}*"))
