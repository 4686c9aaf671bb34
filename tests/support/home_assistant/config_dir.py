"""The configuration directory of a Home Assistant whose onboarding is done."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
import json
from pathlib import Path
import secrets
import shutil
import socket

import bcrypt
import jwt

from tests.support.home_assistant.client import JsonObject

LOOPBACK = "127.0.0.1"
LOOPBACK_ADAPTER = "lo"

# No `default_config`: it loads `my`, and OAuth would come back by way of my.home-assistant.io.
# No `http`: settings in YAML are only tried, and taken back by a restart after five minutes.
CONFIGURATION = """\
homeassistant:
  name: Home
  latitude: 52.37
  longitude: 4.89
  elevation: 0
  time_zone: Europe/Amsterdam
  unit_system: metric
  currency: EUR
  country: NL
  language: en
frontend:
config:
history:
application_credentials:
backup:
logger:
  default: warning
  logs:
    custom_components.dropbox_backup: info
"""

_TOKEN_LIFE = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Account:
    """The owner of the Home Assistant: signs in by name and password, or with `token`."""

    username: str = "demo"
    password: str = "demo"
    name: str = "Demo"
    # A long-lived access token is a JWT, signed with a key that is stored beside the refresh token.
    jwt_key: str = field(default_factory=lambda: secrets.token_hex(64), repr=False)
    token_id: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def token(self) -> str:
        """A long-lived access token, as the profile page makes them."""
        now = datetime.now(UTC)
        claims = {"iss": self.token_id, "iat": now, "exp": now + _TOKEN_LIFE}
        return jwt.encode(claims, self.jwt_key, algorithm="HS256")


def free_port(wanted: int = 0) -> int:
    """Return a port on loopback that nobody listens on now: the wanted one, or any other."""
    with socket.socket() as listener:
        try:
            listener.bind((LOOPBACK, wanted))
        except OSError:
            return free_port()
        port: int = listener.getsockname()[1]
        return port


def seed(directory: Path, *, port: int, account: Account, integration: Path | None = None) -> None:
    """Write into the empty `directory` what Home Assistant has after its onboarding.

    `integration` is the folder of a custom integration; it is copied, as an installation would do.
    (A link would not survive a restore, which replaces everything in the directory.)
    """
    storage = directory / ".storage"
    storage.mkdir(parents=True)
    (directory / "configuration.yaml").write_text(CONFIGURATION)
    for key, version, data in (
        ("auth", 1, _auth(account)),
        ("auth_provider.homeassistant", 1, _passwords(account)),
        ("onboarding", 4, {"done": ["user", "core_config", "analytics", "integration"]}),
        ("http", 3, _http(port)),
        # Found on no network, and able to start without one.
        ("core.network", 1, {"configured_adapters": [LOOPBACK_ADAPTER]}),
    ):
        _write_store(storage / key, version, data)
    if integration is not None:
        copy_integration(integration, directory)


def copy_integration(integration: Path, directory: Path) -> None:
    """Install the custom integration into the configuration directory, over an older copy."""
    shutil.copytree(
        integration,
        directory / "custom_components" / integration.name,
        ignore=shutil.ignore_patterns("__pycache__"),
        dirs_exist_ok=True,
    )


def _write_store(path: Path, version: int, data: Mapping[str, object]) -> None:
    store = {"version": version, "minor_version": 1, "key": path.name, "data": data}
    path.write_text(json.dumps(store, indent=2))
    path.chmod(0o600)


def _auth(account: Account) -> JsonObject:
    user_id, credential_id = secrets.token_hex(16), secrets.token_hex(16)
    created = datetime.now(UTC).isoformat()
    return {
        "users": [
            {
                "id": user_id,
                "group_ids": ["system-admin"],
                "is_owner": True,
                "is_active": True,
                "name": account.name,
                "system_generated": False,
                "local_only": False,
            }
        ],
        "groups": [
            {"id": "system-admin", "name": "Administrators"},
            {"id": "system-users", "name": "Users"},
            {"id": "system-read-only", "name": "Read Only"},
        ],
        "credentials": [
            {
                "id": credential_id,
                "user_id": user_id,
                "auth_provider_type": "homeassistant",
                "auth_provider_id": None,
                "data": {"username": account.username},
            }
        ],
        "refresh_tokens": [
            {
                "id": account.token_id,
                "user_id": user_id,
                "client_id": None,
                "client_name": "Tests",
                "client_icon": None,
                "token_type": "long_lived_access_token",
                "created_at": created,
                "access_token_expiration": _TOKEN_LIFE.total_seconds(),
                "token": secrets.token_hex(64),
                "jwt_key": account.jwt_key,
                "last_used_at": None,
                "last_used_ip": None,
                "expire_at": None,
                "credential_id": credential_id,
                "version": None,
            }
        ],
    }


def _passwords(account: Account) -> JsonObject:
    # The lowest cost that bcrypt knows: nothing is at stake here but time.
    hashed = bcrypt.hashpw(account.password.encode(), bcrypt.gensalt(rounds=4))
    user = {"username": account.username, "password": base64.b64encode(hashed).decode()}
    return {"users": [user]}


def _http(port: int) -> JsonObject:
    stable = {
        "server_host": [LOOPBACK],
        "server_port": port,
        "cors_allowed_origins": ["https://cast.home-assistant.io"],
        "login_attempts_threshold": -1,
        "ip_ban_enabled": True,
        "ssl_profile": "intermediate_v6",
        "use_x_frame_options": True,
        "created_at": datetime.now(UTC).isoformat(),
        "error": None,
        "error_message": None,
    }
    return {"stable": stable, "pending": None, "yaml_migration_done": True}
