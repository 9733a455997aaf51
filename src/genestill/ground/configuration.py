"""The workflow's configuration: recipe defaults, one JSON schema a section, sentences for mistakes."""

import difflib
from pathlib import Path

import jsonschema
import yaml

from genestill.ground.errors import InputError
from genestill.ground.settings import expand
from genestill.ground.text import read_text


def read_yaml(path: str | Path):
    """Read a YAML file; raise `InputError` with the line if it is not YAML."""
    text = read_text(path)
    try:
        return yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        for number, line in enumerate(text.split("\n"), 1):
            if "\t" in line[: len(line) - len(line.lstrip())]:
                raise InputError(f"{path}: line {number} is indented by a tab; YAML takes blanks only") from None
        raise InputError(f"{path}: not a YAML file: {error}") from None


def merge(defaults: dict, settings: dict) -> dict:
    """``settings`` over ``defaults``, section by section; a value that is not a section replaces the default."""
    merged = dict(defaults)
    for key, value in settings.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def complete_configuration(settings: dict, recipes: str | Path, schemas: str | Path) -> dict:
    """Fill a configuration from its recipe and from the schemas' defaults, and check it.

    Args:
        settings: the user's configuration, as read from YAML.
        recipes: folder with one ``<recipe>.yaml`` of defaults a recipe.
        schemas: folder with ``config.schema.yaml`` for the top level and ``<section>.schema.yaml`` for each section.

    Returns:
        A new dict in which every key of the schemas stands.

    Raises:
        InputError: an unknown recipe or key (with the nearest known one), or a value that the schema refuses.
    """
    known = sorted(path.stem for path in Path(recipes).glob("*.yaml"))
    if not isinstance(settings, dict):
        raise InputError(f"configuration: {str(settings)[:60]!r}; expected keys and values, recipe and dataset first")
    recipe = settings.get("recipe")
    if recipe not in known:
        raise InputError(
            f"configuration: recipe is {recipe!r}; expected one of {', '.join(known)}{_nearest(recipe, known)}"
        )
    settings = merge(read_yaml(Path(recipes) / f"{recipe}.yaml") or {}, settings)
    top = read_yaml(Path(schemas) / "config.schema.yaml")
    completed = _complete(settings, top, ())
    for section in top["properties"]:
        file = Path(schemas) / f"{section}.schema.yaml"
        if file.is_file():
            completed[section] = _complete(completed.get(section) or {}, expand(read_yaml(file)), (section,))
    return {section: completed[section] for section in top["properties"] if section in completed}


def _complete(settings: dict, schema: dict, path: tuple[str, ...]) -> dict:
    _refuse_unknown_keys(settings, schema, path)
    completed = _with_defaults(settings, schema)
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema).iter_errors(completed))
    if error is not None:
        where = ".".join((*path, *map(str, error.absolute_path))) or "the top level"
        raise InputError(f"configuration: {where}: {error.message}")
    return completed


def _refuse_unknown_keys(settings, schema: dict, path: tuple[str, ...]) -> None:
    if not isinstance(settings, dict) or schema.get("additionalProperties") is not False:
        return
    known = schema.get("properties", {})
    for key, value in settings.items():
        if key not in known:
            raise InputError(f"configuration: unknown key {'.'.join((*path, str(key)))}{_nearest(key, known)}")
        _refuse_unknown_keys(value, known[key], (*path, key))


def _with_defaults(settings, schema: dict, fill: bool = True):
    """``settings`` in the schema's order whatever the user's, so that rules see the same parameters.

    Missing keys get their defaults if ``fill``, except in named entries (such as students), which may be partial.
    """
    if isinstance(settings, list) and "items" in schema:
        return [_with_defaults(one, schema["items"], fill) for one in settings]
    if not isinstance(settings, dict):
        return _as_number(settings, schema.get("type", ()))
    completed = {}
    for key, child in schema.get("properties", {}).items():
        if key in settings:
            completed[key] = _with_defaults(settings[key], child, fill)
        elif fill and "default" in child:
            completed[key] = _with_defaults(child["default"], child)
        elif fill and child.get("type") == "object" and "properties" in child:
            completed[key] = _with_defaults({}, child)
    named = schema.get("additionalProperties")
    for key, value in settings.items():
        if key not in completed:
            completed[key] = _with_defaults(value, named, fill=False) if isinstance(named, dict) else value
    return completed


def _as_number(value, kinds):
    """1 and 1.0 are the same setting: a float where the schema takes numbers, an int where it takes integers."""
    if isinstance(value, int) and not isinstance(value, bool) and "number" in kinds and abs(value) < 2**53:
        return float(value)
    if isinstance(value, float) and "integer" in kinds and value.is_integer():
        return int(value)
    return value


def _nearest(word, known) -> str:
    close = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
