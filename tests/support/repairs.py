"""Repairs as a person meets them: what is listed, and how it is mended."""

from http import HTTPStatus
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.dropbox_backup.const import DOMAIN


def issues(hass: HomeAssistant) -> dict[str, ir.IssueEntry]:
    """Return our issues by their ids."""
    return {
        issue_id: issue
        for (domain, issue_id), issue in ir.async_get(hass).issues.items()
        if domain == DOMAIN
    }


async def fix(hass_client: ClientSessionGenerator, issue_id: str) -> dict[str, Any]:
    """Open an issue as the frontend does; return the form, or what else comes."""
    client = await hass_client()
    data = {"handler": DOMAIN, "issue_id": issue_id}
    response = await client.post("/api/repairs/issues/fix", json=data)
    assert response.status == HTTPStatus.OK
    return dict(await response.json())


async def choose(
    hass_client: ClientSessionGenerator, menu: dict[str, Any], option: str
) -> dict[str, Any]:
    """Choose one way to go on."""
    client = await hass_client()
    url = f"/api/repairs/issues/fix/{menu['flow_id']}"
    response = await client.post(url, json={"next_step_id": option})
    assert response.status == HTTPStatus.OK
    return dict(await response.json())
