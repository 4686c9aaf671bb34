"""The shapes of the files that scripts/validate.py checks."""

import re
from string import Formatter
from typing import Any

from awesomeversion import AwesomeVersion, AwesomeVersionStrategy
from homeassistant.helpers import config_validation as cv
import probatio as vol

from scripts.lib.texts_in_code import PLATFORMS

# File, and section in translations/en.json and icons.json -> the icon's key in its section.
ACTION_KINDS = {"services": "service", "triggers": "trigger", "conditions": "condition"}

URL = re.compile(r"\b(https?|ftps?|mqtts?|wss?)://|\bwww\.", re.IGNORECASE)

# How an integration may reach what it is for, of those that a service can have.
CONNECTIVITY = ["cloud", "network"]


def placeholders(text: str) -> set[str]:
    """Return the names in braces that the frontend fills in."""
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def _text(value: Any) -> str:
    """Accept a text that Home Assistant's frontend can show and translators can work with."""
    text = cv.string_with_no_html(value)
    if text != text.strip() or not text:
        raise vol.Invalid("empty, or begins or ends with space")
    if "[%key:" in text:
        raise vol.Invalid("refers to another text, which only works inside Home Assistant itself")
    if URL.search(text):
        raise vol.Invalid("has a URL: translators would have to keep it; use a placeholder")
    if re.search(r"'\{\w+\}'", text):
        raise vol.Invalid("has a placeholder in single quotes, which the frontend does not fill in")
    if not all(name.isidentifier() for name in placeholders(text)):
        raise vol.Invalid("has a placeholder that is no identifier")
    return text


def _version(value: str) -> str:
    if AwesomeVersion(value).strategy is AwesomeVersionStrategy.UNKNOWN:
        raise vol.Invalid("no version that Home Assistant can compare")
    return value


def _https(value: str) -> str:
    if not value.startswith("https://"):
        raise vol.Invalid("not an https URL")
    return value


MANIFEST = vol.Schema(
    {
        vol.Required("domain"): cv.slug,
        vol.Required("name"): str,
        vol.Required("codeowners"): [vol.All(str, vol.Match("^@"))],
        vol.Required("documentation"): _https,
        vol.Required("integration_type"): vol.In(["device", "hub", "service"]),
        vol.Required("iot_class"): vol.In(["cloud_polling", "cloud_push"]),
        vol.Required("issue_tracker"): _https,
        vol.Required("version"): _version,
        vol.Optional("after_dependencies"): [cv.slug],
        # Shown in Home Assistant's lists since 2026.11; the first is the main one.
        vol.Required("categories"): vol.All([str], vol.Length(min=1)),
        vol.Required("connectivity"): vol.All([vol.In(CONNECTIVITY)], vol.Length(min=1)),
        vol.Optional("config_flow"): bool,
        vol.Optional("dependencies"): [cv.slug],
        vol.Optional("loggers"): [str],
        # Of a range, the newest gets installed: never the one that was tested.
        vol.Optional("requirements"): [vol.Match(r"^[\w.-]+==[\w.]+$")],
        vol.Optional("single_config_entry"): bool,
    }
)

HACS = vol.Schema(
    {
        vol.Required("name"): str,
        vol.Required("homeassistant"): _version,
        vol.Required("zip_release"): True,
        vol.Required("filename"): vol.Match(r".+\.zip$"),
    }
)

_TEXTS = {str: _text}
_FIELDS: dict[vol.Marker, Any] = {
    vol.Optional("data"): _TEXTS,
    vol.Optional("data_description"): _TEXTS,
}
_FLOW = {
    vol.Optional("flow_title"): _text,
    vol.Optional("step"): {
        str: {
            **_FIELDS,
            vol.Optional("title"): _text,
            vol.Optional("description"): _text,
            vol.Optional("menu_options"): _TEXTS,
            vol.Optional("menu_option_descriptions"): _TEXTS,
            vol.Optional("submit"): _text,
            vol.Optional("sections"): {
                str: {**_FIELDS, vol.Optional("name"): _text, vol.Optional("description"): _text}
            },
        }
    },
    **{
        vol.Optional(part): _TEXTS
        for part in ("abort", "create_entry", "error", "initiate_flow", "progress")
    },
}
_NAMED = {vol.Required("name"): _text, vol.Required("description"): _text}
_ACTIONS: dict[Any, Any] = {
    cv.slug: {
        **_NAMED,
        vol.Optional("fields"): {cv.slug: _NAMED},
        vol.Optional("sections"): {
            cv.slug: {vol.Required("name"): _text, vol.Optional("description"): _text}
        },
    }
}

ENGLISH = vol.Schema(
    {
        vol.Optional("title"): _text,
        vol.Optional("application_credentials"): {vol.Required("description"): _text},
        vol.Optional("common"): _TEXTS,
        vol.Required("config"): _FLOW,
        vol.Optional("options"): _FLOW,
        vol.Optional("selector"): {cv.slug: {vol.Required("options"): _TEXTS}},
        vol.Optional("system_health"): {vol.Required("info"): _TEXTS},
        vol.Optional("device"): {cv.slug: {vol.Required("name"): _text}},
        vol.Optional("entity"): {
            vol.In(PLATFORMS): {
                cv.slug: {
                    vol.Optional("name"): _text,
                    vol.Optional("unit_of_measurement"): _text,
                    vol.Optional("state"): _TEXTS,
                    vol.Optional("state_attributes"): {
                        str: {vol.Optional("name"): _text, vol.Optional("state"): _TEXTS}
                    },
                }
            }
        },
        vol.Optional("exceptions"): {cv.slug: {vol.Required("message"): _text}},
        vol.Optional("issues"): {
            cv.slug: vol.All(
                cv.has_at_least_one_key("description", "fix_flow"),
                {
                    vol.Required("title"): _text,
                    vol.Exclusive("description", "told"): _text,
                    vol.Exclusive("fix_flow", "told"): _FLOW,
                },
            )
        },
        **{vol.Optional(kind): _ACTIONS for kind in ACTION_KINDS},
    }
)

_ICON = vol.Match("^mdi:[a-z0-9-]+$")
_ENTITY_ICON = {vol.Optional("default"): _ICON, vol.Optional("state"): {str: _ICON}}
ICONS = vol.Schema(
    {
        vol.Optional("entity"): {
            str: {
                cv.slug: {
                    **_ENTITY_ICON,
                    vol.Optional("state_attributes"): {str: _ENTITY_ICON},
                }
            }
        },
        **{
            vol.Optional(kind): {
                cv.slug: {vol.Required(icon): _ICON, vol.Optional("sections"): {str: _ICON}}
            }
            for kind, icon in ACTION_KINDS.items()
        },
    }
)

QUALITY_SCALE = vol.Schema(
    {
        "rules": {
            str: vol.Any(
                "done",
                "todo",
                {vol.Required("status"): vol.In(["done", "todo"]), vol.Optional("comment"): str},
                # An exemption nobody can judge is none.
                {
                    vol.Required("status"): "exempt",
                    vol.Required("comment"): vol.All(str, vol.Length(min=1)),
                },
            )
        }
    }
)
