"""Prints the packages that the installed Home Assistant wants before it boots.

Home Assistant installs an integration's requirements when it sets the integration up. The tests and
the demo boot it with `--skip-pip`, so that they run offline and start in seconds; hence they need
the requirements of everything that is set up whatever the configuration says, beforehand.
"""

import json
from pathlib import Path

from homeassistant import bootstrap

COMPONENTS = Path(bootstrap.__file__).parent / "components"

# Beyond the integrations that always boot: what the tests and the demo switch on, and what makes
# compression as fast as in an installed Home Assistant.
SWITCHED_ON = {"config", "hassio", "history", "isal", "recorder"}


def main() -> None:
    """Print one pinned requirement a line."""
    domains = bootstrap.CORE_INTEGRATIONS | bootstrap.DEFAULT_INTEGRATIONS | SWITCHED_ON
    print("\n".join(sorted(requirements_of(domains))))


def requirements_of(domains: set[str]) -> set[str]:
    """Return the requirements of these integrations and of all that they depend on."""
    requirements: set[str] = set()
    seen: set[str] = set()
    waiting = set(domains)
    while waiting:
        domain = waiting.pop()
        seen.add(domain)
        manifest = json.loads((COMPONENTS / domain / "manifest.json").read_text())
        requirements.update(manifest.get("requirements", []))
        waiting.update(set(manifest.get("dependencies", [])) - seen)
    return requirements


if __name__ == "__main__":
    main()
