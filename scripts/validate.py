"""Checks the files that Home Assistant, its marketplace and translators read, offline.

It covers what Home Assistant's own validator says about a custom integration, and what a user would
notice: a text or an icon that is missing, or that nothing uses.

usage: python -m scripts.validate [INTEGRATION'S FOLDER]
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
import json
from pathlib import Path
import struct
import sys
from typing import Any

from homeassistant import components
from homeassistant.helpers import selector
import probatio as vol
from probatio.humanize import humanize_error
import yaml

from scripts.lib import arrows, border, claims, privates, sentences, texts_in_code
from scripts.lib.schemas import (
    ACTION_KINDS,
    ENGLISH,
    HACS,
    ICONS,
    MANIFEST,
    QUALITY_SCALE,
    placeholders,
)

REPOSITORY = Path(__file__).parents[1]
CORE = Path(components.__path__[0])
# Home Assistant 2026.10 has none.
CATEGORIES = CORE.parent / "generated" / "integration_categories.json"

# What JSON and YAML files hold.
type Tree = dict[str, Any]
type Problems = Iterator[str]

PLURALS = ("one", "other")
BRAND_SIZES = {"icon.png": 256, "icon@2x.png": 512}


@dataclass(frozen=True, slots=True)
class Integration:
    """The files of one integration, {} for one that is not there."""

    folder: Path
    manifest: Tree
    english: Tree
    icons: Tree
    # services, triggers and conditions
    actions: dict[str, Tree]
    code: texts_in_code.CodeTexts

    @classmethod
    def read(cls, folder: Path) -> Integration:
        """Read all files; raises ValueError for one that is neither JSON nor YAML."""
        return cls(
            folder,
            _json(folder / "manifest.json"),
            _json(folder / "translations" / "en.json"),
            _json(folder / "icons.json"),
            {kind: _described(folder / f"{kind}.yaml") for kind in ACTION_KINDS},
            texts_in_code.read(folder),
        )


def main() -> int:
    """Print every problem; return 1 if there is one."""
    default = next((REPOSITORY / "custom_components").glob("*/manifest.json")).parent
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    found = [
        *problems(folder),
        *hacs_problems(REPOSITORY / "hacs.json"),
        *version_problems(REPOSITORY),
        *privates.problems(folder, REPOSITORY / "tests"),
    ]
    print(*found, sep="\n", end="\n" if found else "")
    print(f"validate: {len(found)} problems in {folder.name}")
    return 1 if found else 0


def problems(folder: Path) -> Problems:
    """Yield one sentence for each thing that is wrong in the integration's folder."""
    try:
        integration = Integration.read(folder)
    except ValueError as error:
        yield str(error)
        return
    for check in CHECKS:
        yield from check(integration)


def hacs_problems(file: Path) -> Problems:
    """Yield what is wrong with the repository's own hacs.json."""
    yield from _against(HACS, _json(file), file.name)


def version_problems(repository: Path) -> Problems:
    """Yield where the workflow tests other versions than the oldest and the newest that we name."""
    oldest = _json(repository / "hacs.json")["homeassistant"]
    setup = (repository / "scripts" / "setup").read_text(encoding="utf-8")
    newest = next(
        line.partition("=")[2] for line in setup.splitlines() if line.startswith("newest_ha=")
    )
    workflow = _yaml(repository / ".github" / "workflows" / "test.yml")
    tested = workflow["jobs"]["test"]["strategy"]["matrix"]["home-assistant"]
    if tested != [oldest, newest]:
        yield (
            f"test.yml: tests run on {', '.join(tested)}, not on the oldest in hacs.json ({oldest})"
            f" and the newest in scripts/setup ({newest})"
        )


def manifest_problems(integration: Integration) -> Problems:
    """Yield what is wrong with manifest.json."""
    manifest = integration.manifest
    yield from _against(MANIFEST, manifest, "manifest.json")
    for category in manifest.get("categories", []):
        if CATEGORIES.exists() and category not in _categories():
            yield f"manifest.json: Home Assistant has no category {category}"
    if list(manifest) != sorted(manifest, key=lambda key: (key != "domain", key != "name", key)):
        yield "manifest.json: the keys are not in order: domain, name, then the alphabet"
    if manifest.get("domain") != integration.folder.name:
        yield "manifest.json: the domain is not the folder's name"
    if (CORE / integration.folder.name).exists():
        yield "manifest.json: Home Assistant itself has an integration of this domain"
    for domain in [*manifest.get("dependencies", []), *manifest.get("after_dependencies", [])]:
        if not (CORE / domain).is_dir():
            yield f"manifest.json: there is no integration {domain} to depend on"
    if manifest.get("config_flow") and not (integration.folder / "config_flow.py").is_file():
        yield "manifest.json: promises a config flow, but config_flow.py is missing"


def english_problems(integration: Integration) -> Problems:
    """Yield what is wrong with translations/en.json by itself."""
    yield from _against(ENGLISH, integration.english, "translations/en.json")
    for flow in (integration.english.get(name, {}) for name in ("config", "options")):
        for step_id, step in flow.get("step", {}).items():
            for part in (step, *step.get("sections", {}).values()):
                for field in part.get("data_description", {}).keys() - part.get("data", {}):
                    yield f"translations/en.json: step {step_id} describes {field}, without a name"


def other_language_problems(integration: Integration) -> Problems:
    """Yield where another language has other texts or placeholders than English."""
    english = dict(_leaves(integration.english))
    for file in sorted((integration.folder / "translations").glob("*.json")):
        name = f"translations/{file.name}"
        texts = dict(_leaves(_json(file)))
        for key in sorted(english.keys() - texts):
            yield f"{name}: {key} is missing"
        for key in sorted(texts.keys() - english):
            yield f"{name}: {key} is not in English"
        for key in sorted(texts.keys() & english):
            if placeholders(texts[key]) != placeholders(english[key]):
                yield f"{name}: {key} has other placeholders than in English"


def code_text_problems(integration: Integration) -> Problems:
    """Yield texts that the code names and en.json lacks, and the other way round."""
    sections = dict(_text_sections(integration.english))
    for use in integration.code.uses:
        candidates = [use.section] if use.section else list(sections)
        found = [
            sections[name][key]
            for name in candidates
            for key in _forms(use.key)
            if key in sections.get(name, {})
        ]
        if not found:
            place = ".".join(use.section or ("anywhere",))
            yield f"{use.where}: translations/en.json has no text {use.key} in {place}"
        elif use.section and use.placeholders is not None:
            needed = {name for text in found for name in _needed_by(text)}
            for missing in sorted(needed - use.placeholders):
                yield f"{use.where}: the text {use.key} needs the placeholder {missing}"
    keys = integration.code.strings | set(_selector_keys(integration.actions))
    used = {form for key in keys for form in _forms(key)}
    for section, texts in sections.items():
        for key in sorted(texts.keys() - used):
            yield f"translations/en.json: nothing uses {'.'.join(section)}.{key}"


def flow_text_problems(integration: Integration) -> Problems:
    """Yield steps and abort reasons of flows that have no text."""
    english = integration.english
    dialogs = [english.get("config", {}), english.get("options", {})]
    fix_flows = [issue.get("fix_flow", {}) for issue in english.get("issues", {}).values()]
    for part, uses in (("step", integration.code.steps), ("abort", integration.code.aborts)):
        for use in uses:
            file = use.where.partition(":")[0]
            if file.endswith("_flow.py"):
                flows = dialogs
            elif file == "repairs.py":
                flows = fix_flows
            else:
                continue
            if not any(use.key in flow.get(part, {}) for flow in flows):
                yield f"{use.where}: translations/en.json has no {part} {use.key} for this flow"


def action_problems(integration: Integration) -> Problems:
    """Yield services, triggers and conditions that lack a selector, a text, an icon or code."""
    for kind, icon in ACTION_KINDS.items():
        described = integration.actions[kind]
        texts = integration.english.get(kind, {})
        icons = integration.icons.get(kind, {})
        yield from _same_keys(f"{kind}.yaml", described, "translations/en.json", texts)
        yield from _same_keys(f"{kind}.yaml", described, "icons.json", icons)
        for name, action in described.items():
            where = f"{kind}.yaml: {name}"
            if name not in integration.code.strings and name != "_":
                yield f"{where} is named nowhere in the code"
            if name in icons and icon not in icons[name]:
                yield f"icons.json: {kind}.{name} has no {icon}"
            yield from _field_problems(where, action or {}, texts.get(name, {}))


def icon_problems(integration: Integration) -> Problems:
    """Yield what is wrong with icons.json: also icons of no entity, and entities without one."""
    yield from _against(ICONS, integration.icons, "icons.json")
    entities = integration.english.get("entity", {})
    for platform, icons in integration.icons.get("entity", {}).items():
        for key, icon in icons.items():
            text = entities.get(platform, {}).get(key)
            if text is None:
                yield f"icons.json: there is no entity {platform}.{key}"
                continue
            for state in sorted(icon.get("state", {}).keys() - text.get("state", {"on", "off"})):
                yield f"icons.json: {platform}.{key} has no state {state}"
    for platform, texts in entities.items():
        for key in sorted(texts.keys() - integration.icons.get("entity", {}).get(platform, {})):
            yield f"icons.json: there is no icon of the entity {platform}.{key}"


def sentence_problems(integration: Integration) -> Problems:
    """Yield texts for people in the code: no other language could be spoken there."""
    yield from sentences.untranslated(integration.folder)


def plural_problems(integration: Integration) -> Problems:
    """Yield texts of which there is only the singular or the plural."""
    texts = integration.english.get("common", {})
    for key in texts:
        stem, _, form = key.rpartition("_")
        if form in PLURALS:
            for other in PLURALS:
                if f"{stem}_{other}" not in texts:
                    yield f"translations/en.json: {key} is there without {stem}_{other}"


def quality_scale_problems(integration: Integration) -> Problems:
    """Yield rules that quality_scale.yaml does not answer, or answers wrongly."""
    file = integration.folder / "quality_scale.yaml"
    if not file.is_file():
        yield f"{file.name} is missing"
        return
    answers = _yaml(file).get("rules", {})
    # Every integration of Home Assistant answers all rules of its version.
    rules = _yaml(CORE / "onedrive" / "quality_scale.yaml")["rules"]
    yield from _same_keys(file.name, answers, "Home Assistant's rules", rules)
    yield from _against(QUALITY_SCALE, {"rules": answers}, file.name)
    for rule, check in CLAIMS.items():
        if answers.get(rule) == "done":
            for reason in check(integration):
                yield f"{file.name}: {rule} is not done: {reason}"


def untyped_requirements(integration: Integration) -> Problems:
    """Yield the requirements that tell a type checker nothing."""
    for requirement in integration.manifest.get("requirements", []):
        name = requirement.partition("==")[0]
        if not any(file.name == "py.typed" for file in metadata.files(name) or []):
            yield f"{requirement} has no py.typed"


def brand_problems(integration: Integration) -> Problems:
    """Yield icons that are missing or not as large as the frontend expects."""
    for name, size in BRAND_SIZES.items():
        file = integration.folder / "brand" / name
        if not file.is_file():
            yield f"brand/{name} is missing"
        elif (found := struct.unpack(">II", file.read_bytes()[16:24])) != (size, size):
            yield f"brand/{name} has {found[0]} x {found[1]} pixels, not {size} x {size}"


def arrow_problems(integration: Integration) -> Problems:
    """Yield imports that point the wrong way between the folders of the code."""
    yield from arrows.problems(integration.folder)


def border_problems(integration: Integration) -> Problems:
    """Yield where the border to Dropbox leaks."""
    yield from border.problems(integration.folder)


# Rules whose answer "done" can be proven wrong.
CLAIMS: dict[str, Callable[[Integration], Problems]] = {
    "exception-translations": lambda one: claims.untranslated_exceptions(one.folder),
    "runtime-data": lambda one: claims.setup_without_runtime_data(one.folder),
    "strict-typing": untyped_requirements,
}

CHECKS: tuple[Callable[[Integration], Problems], ...] = (
    manifest_problems,
    english_problems,
    other_language_problems,
    code_text_problems,
    sentence_problems,
    plural_problems,
    flow_text_problems,
    action_problems,
    icon_problems,
    quality_scale_problems,
    brand_problems,
    arrow_problems,
    border_problems,
)


def _categories() -> set[str]:
    known = json.loads(CATEGORIES.read_text(encoding="utf-8"))
    parts = {f"{one['slug']}.{part['slug']}" for one in known for part in one["subcategories"]}
    return {one["slug"] for one in known} | parts


def _field_problems(where: str, action: Tree, texts: Tree) -> Problems:
    fields: Tree = {}
    sections: Tree = {}
    for name, field in action.get("fields", {}).items():
        if "fields" in (field or {}):
            sections[name] = field
            fields |= field["fields"]
        else:
            fields[name] = field
    for part, described in (("fields", fields), ("sections", sections)):
        yield from _same_keys(where, described, f"its {part} in en.json", texts.get(part, {}))
    for name, field in fields.items():
        try:
            selector.validate_selector((field or {}).get("selector"))
        except vol.Invalid as error:
            yield f"{where}: field {name}: {error}"


def _same_keys(name: str, tree: Tree, other_name: str, other: Tree) -> Problems:
    for key in sorted(tree.keys() - other):
        yield f"{name}: {key} is missing in {other_name}"
    for key in sorted(other.keys() - tree):
        yield f"{other_name}: {key} is missing in {name}"


def _against(schema: vol.Schema, tree: Tree, name: str) -> Problems:
    try:
        schema(tree)
    except vol.Invalid as error:
        yield f"{name}: {humanize_error(tree, error)}"


def _text_sections(english: Tree) -> Iterator[tuple[tuple[str, ...], Tree]]:
    """Yield the parts of en.json whose texts the code chooses with a translation key."""
    for platform, texts in english.get("entity", {}).items():
        yield ("entity", platform), texts
    for name in ("common", "exceptions", "issues", "selector"):
        yield (name,), english.get(name, {})


def _forms(key: str) -> tuple[str, ...]:
    """Return what the text of this key may be called: of some there is a singular and a plural."""
    return (key, *(f"{key}_{form}" for form in PLURALS))


def _needed_by(text: Tree | str) -> set[str]:
    """Return what must be filled in: a repair flow fills in the texts of its own steps."""
    if isinstance(text, str):
        return placeholders(text)
    own = {key: part for key, part in text.items() if key in {"message", "title", "description"}}
    return {name for _, leaf in _leaves(own) for name in placeholders(leaf)}


def _selector_keys(tree: Tree) -> Iterator[str]:
    for key, value in tree.items():
        if key == "translation_key":
            yield value
        elif isinstance(value, dict):
            yield from _selector_keys(value)


def _leaves(tree: Tree, prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _described(file: Path) -> Tree:
    """Return a services.yaml or the like, without its anchors."""
    return {name: action for name, action in _yaml(file).items() if not name.startswith(".")}


def _json(file: Path) -> Tree:
    if not file.is_file():
        return {}
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except json.JSONDecodeError as error:
        raise ValueError(f"{file.name}: {error}") from error


def _yaml(file: Path) -> Tree:
    if not file.is_file():
        return {}
    try:
        return dict(yaml.safe_load(file.read_text(encoding="utf-8")) or {})
    except yaml.YAMLError as error:
        raise ValueError(f"{file.name}: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
