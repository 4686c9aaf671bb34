"""What Supervisor says about everything else, as short as Home Assistant allows."""

from typing import Any

type Answer = dict[str, Any]  # Any: JSON

_ROOT: Answer = {
    "supervisor": "2026.11.0",
    "homeassistant": "2026.11.0",
    "hassos": "17.0",
    "docker": "29.0.0",
    "hostname": "homeassistant",
    "operating_system": "Home Assistant OS 17.0",
    "features": [],
    "machine": "generic-x86-64",
    "machine_id": None,
    "arch": "amd64",
    "state": "running",
    "supported_arch": ["amd64"],
    "supported": True,
    "channel": "stable",
    "logging": "info",
    "timezone": "UTC",
}

_CORE: Answer = {
    "version": "2026.11.0",
    "version_latest": "2026.11.0",
    "update_available": False,
    "machine": "generic-x86-64",
    "ip_address": "172.30.32.1",
    "arch": "amd64",
    "image": "homeassistant",
    "boot": True,
    "port": 8123,
    "ssl": False,
    "watchdog": True,
    "audio_input": None,
    "audio_output": None,
    "backups_exclude_database": False,
    "duplicate_log_file": False,
}

_SUPERVISOR: Answer = {
    "version": "2026.11.0",
    "version_latest": "2026.11.0",
    "update_available": False,
    "channel": "stable",
    "arch": "amd64",
    "supported": True,
    "healthy": True,
    "ip_address": "172.30.32.2",
    "timezone": "UTC",
    "logging": "info",
    "debug": False,
    "debug_block": False,
    "diagnostics": False,
    "auto_update": True,
    "country": None,
    "detect_blocking_io": False,
    "feature_flags": {},
}

_OS: Answer = {
    "version": "17.0",
    "version_latest": "17.0",
    "version_pending": None,
    "update_available": False,
    "board": None,
    "boot": "A",
    "data_disk": None,
    "boot_slots": {},
}

_HOST: Answer = {
    "agent_version": "1.7.0",
    "apparmor_version": "3.1.2",
    "chassis": "vm",
    "virtualization": "",
    "cpe": None,
    "deployment": "production",
    "disk_free": 20.0,
    "disk_total": 32.0,
    "disk_used": 12.0,
    "disk_life_time": None,
    "features": [],
    "hostname": "homeassistant",
    "llmnr_hostname": None,
    "kernel": "6.12",
    "operating_system": "Home Assistant OS 17.0",
    "timezone": "UTC",
    "dt_utc": None,
    "dt_synchronized": True,
    "use_ntp": True,
    "startup_time": 1.0,
    "boot_timestamp": 1,
    "broadcast_llmnr": None,
    "broadcast_mdns": None,
}

_NETWORK: Answer = {
    "interfaces": [],
    "docker": {
        "interface": "hassio",
        "address": "172.30.32.0/23",
        "gateway": "172.30.32.1",
        "dns": "172.30.32.3",
    },
    "host_internet": True,
    "supervisor_internet": True,
}

_RESOLUTION: Answer = {
    "unsupported": [],
    "unhealthy": [],
    "issues": [],
    "checks": [],
    "suggestions": [],
}

# By path, for GET.
ANSWERS: dict[str, Answer] = {
    "supervisor/ping": {},
    "info": _ROOT,
    "core/info": _CORE,
    "supervisor/info": _SUPERVISOR,
    "os/info": _OS,
    "host/info": _HOST,
    "network/info": _NETWORK,
    "resolution/info": _RESOLUTION,
    "store": {"addons": [], "repositories": []},
    "ingress/panels": {"panels": {}},
    "addons": {"addons": []},
    "discovery": {"discovery": [], "services": {}},
}
# What Home Assistant only tells Supervisor: POST.
ACCEPTED = {"core/options", "supervisor/options", "core/restart", "refresh_updates", "store/reload"}


def mount(name: str, *, windows: bool = False) -> Answer:
    """Describe a network share that backups are kept on."""
    kind = (
        {"type": "cifs", "share": "backups", "version": None}
        if windows
        else {"type": "nfs", "path": "/backups"}
    )
    return {
        "name": name,
        **kind,
        "usage": "backup",
        "server": "nas.local",
        "read_only": False,
        "state": "active",
        "user_path": None,
    }
