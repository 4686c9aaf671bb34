"""A dashboard with the integration's entities, as a user could build it by clicking."""

from collections.abc import Mapping

from tests.support.home_assistant import JsonObject
from tests.support.world import World

URL_PATH = "dropbox-backup"

_PROTECTED = (
    *("status", "problem", "newest_backup", "last_backup", "last_upload", "waiting", "uploads"),
)
_SPACE = ("backups_in_dropbox", "backups_size", "space_used", "space_free")
_HISTORY = ("upload_progress", "backups_in_dropbox")
_BUTTONS = ("back_up_now", "upload_now")


async def add_dashboard(world: World) -> str:
    """Make the dashboard, and return the path of its first view."""
    await world.client.ws(
        "lovelace/dashboards/create",
        url_path=URL_PATH,
        title="Backups",
        icon="mdi:dropbox",
        mode="storage",
    )
    view = _view(await world.entities())
    await world.client.ws("lovelace/config/save", url_path=URL_PATH, config={"views": [view]})
    return f"/{URL_PATH}/{view['path']}"


def _view(entities: Mapping[str, str]) -> JsonObject:
    def rows(*keys: str) -> list[JsonObject]:
        # Without the name of the device, which would be the same in every row.
        return [
            {"entity": entities[key], "name": {"type": "entity"}} for key in keys if key in entities
        ]

    overview: list[JsonObject] = [
        {"type": "heading", "heading": "Backups in Dropbox", "icon": "mdi:dropbox"},
        {"type": "entities", "entities": rows(*_PROTECTED)},
        *({"type": "button", **row} for row in rows(*_BUTTONS)),
    ]
    details: list[JsonObject] = [
        {"type": "heading", "heading": "Upload and space", "icon": "mdi:cloud-upload"},
        *({"type": "gauge", "min": 0, "max": 100, **row} for row in rows("upload_progress")),
        {"type": "entities", "entities": rows(*_SPACE)},
        {"type": "history-graph", "hours_to_show": 0.1, "entities": rows(*_HISTORY)},
    ]
    return {
        "title": "Backups",
        "path": "overview",
        "type": "sections",
        "max_columns": 2,
        "sections": [{"type": "grid", "cards": cards} for cards in (overview, details)],
    }
