"""The workflow's configuration: defaults of the recipe, one JSON schema per section, error messages.

In addition to the keywords of JSON Schema, a schema may have these:

* ``recipes``: the recipes that read this key; other recipes refuse it (absent: all recipes that read the section);
* ``partial``: missing keys of an entry are not filled in; the entry is merged over ``defaults`` where the schema has
  these;
* ``moved``: former keys of an object, each with its new place;
* ``path``: the kind of path in a string (see `genestill.core.given_paths`);
* ``affects``: the first rules whose results depend on a key, also for all keys below it that have no ``affects``; a
  test compares it with the workflow.
"""

import difflib
import math
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import yaml

from genestill.core.errors import InputError
from genestill.core.settings import expand, refuse_settings
from genestill.core.text import read_text

# The parser of libyaml, if PyYAML was built with it, is ten times faster.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# Keys of a source of transcripts given as a mapping: its files, the columns of a table, and how it is read.
SOURCE_KEYS = (
    *("file", "annotation", "sequence", "id", "gene", "symbol", "chromosome", "cds_start", "cds_end", "exon_sizes"),
    *("cds", "splice", "header", "sample"),
)

# Keys that every recipe reads.
GENERAL = ("recipe", "seed", "dataset")


@dataclass(frozen=True)
class Recipe:
    """One published method, as defined in ``config/recipes/<name>.yaml``.

    Attributes:
        name: name of the recipe.
        sections: sections of the configuration that its rules read, in addition to `GENERAL`.
        defaults: settings that apply where the user gives none.
        simulated: additional defaults for runs without data of the user, in which genomes are simulated.
    """

    name: str
    sections: tuple[str, ...]
    defaults: dict
    simulated: dict


def read_yaml(path: str | Path):
    """Read a YAML file; raise `InputError` with the line for invalid YAML."""
    text = read_text(path)
    try:
        return yaml.load(text, Loader=LOADER)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        for number, line in enumerate(text.split("\n"), 1):
            if "\t" in line[: len(line) - len(line.lstrip())]:
                raise InputError(f"{path}: line {number} is indented with a tab; YAML accepts only spaces") from None
        raise InputError(f"{path}: not a YAML file: {error}") from None


def read_recipe(folder: str | Path, name) -> Recipe:
    """Read the recipe ``name`` from a folder of recipes; raise `InputError` with the known names for an unknown one."""
    known = sorted(path.stem for path in Path(folder).glob("*.yaml"))
    if name not in known:
        raise InputError(
            f"configuration: recipe is {name!r}; expected one of {', '.join(known)}{_nearest(name, known)}"
        )
    content = read_yaml(Path(folder) / f"{name}.yaml")
    sections, simulated = content.pop("sections"), content.pop("simulated", {})
    return Recipe(name, tuple(sections), content, simulated)


def merge(defaults: dict, settings: dict) -> dict:
    """Merge ``settings`` over ``defaults``, section by section; other values replace the default."""
    merged = dict(defaults)
    for key, value in settings.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def complete_configuration(settings: dict, recipes: str | Path, schemas: str | Path) -> dict:
    """Fill in a configuration from its recipe and the defaults of the schemas, and check it.

    Args:
        settings: the user's configuration, as read from YAML.
        recipes: folder with one ``<recipe>.yaml`` per recipe.
        schemas: folder with ``config.schema.yaml`` for the top level and ``<section>.schema.yaml`` for each section.

    Returns:
        A new dict with all keys of the schemas, in the order of the schemas.

    Raises:
        InputError: an unknown recipe or key (with the most similar known one), a section or key that the recipe does
            not read, or a value that the schema does not accept.
    """
    if not isinstance(settings, dict):
        raise InputError(f"configuration: {str(settings)[:60]!r}; expected keys and values, recipe and dataset first")
    recipe = read_recipe(recipes, settings.get("recipe"))
    top = read_yaml(Path(schemas) / "config.schema.yaml")
    _refuse_unknown_keys(settings, top, (), recipe.name)
    _refuse_sections_of_others(settings, recipe, recipes)
    defaults = merge(recipe.defaults, recipe.simulated) if _is_simulated(settings) else recipe.defaults
    completed = _complete(merge(defaults, settings), top, (), recipe.name)
    for section in top["properties"]:
        file = Path(schemas) / f"{section}.schema.yaml"
        if file.is_file():
            given = completed.get(section)
            schema = read_yaml(file)
            completed[section] = _complete({} if given is None else given, expand(schema), (section,), recipe.name)
            refuse_settings(completed[section], schema, section)
    return {section: completed[section] for section in top["properties"] if section in completed}


def effective_configuration(completed: dict, recipes: str | Path, schemas: str | Path) -> dict:
    """The part of a completed configuration that its recipe reads; completing it gives the same configuration."""
    recipe = read_recipe(recipes, completed["recipe"])
    read = {key: completed[key] for key in (*GENERAL, *recipe.sections)}
    for section, settings in read.items():
        file = Path(schemas) / f"{section}.schema.yaml"
        if file.is_file():
            schema = expand(read_yaml(file))
            read[section] = {
                key: value
                for key, value in settings.items()
                if recipe.name in schema["properties"][key].get("recipes", [recipe.name])
            }
    return read


def _is_simulated(settings: dict) -> bool:
    """Whether the user gives no data: no genomes, contigs, database or ground truth."""
    dataset, reference = settings.get("dataset"), settings.get("reference")
    given = [
        *((dataset.get("contigs"), dataset.get("labels"), dataset.get("truth")) if isinstance(dataset, dict) else ()),
        *((reference.get("genomes"), reference.get("database")) if isinstance(reference, dict) else ()),
    ]
    return not any(given)


def _refuse_sections_of_others(settings: dict, recipe: Recipe, recipes: str | Path) -> None:
    for section in settings:
        if section not in (*GENERAL, *recipe.sections):
            known = sorted(path.stem for path in Path(recipes).glob("*.yaml"))
            readers = [name for name in known if section in read_recipe(recipes, name).sections]
            raise InputError(
                f"configuration: the recipe {recipe.name} does not read the section {section}; it belongs to "
                f"{' and '.join(readers)}, and {recipe.name} reads {', '.join((*GENERAL[2:], *recipe.sections))}"
            )


def _is_finite_number(_, value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


# JSON has no NaN and no infinity, but YAML has; bounds alone accept them.
_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("number", _is_finite_number),
)


def _complete(settings, schema: dict, path: tuple[str, ...], recipe: str) -> dict:
    _refuse_unknown_keys(settings, schema, path, recipe)
    completed = _with_defaults(settings, schema)
    error = jsonschema.exceptions.best_match(_Validator(schema).iter_errors(completed))
    if error is not None:
        where = ".".join((*path, *map(str, error.absolute_path))) or "the top level"
        found = error.instance
        finite = not isinstance(found, float) or math.isfinite(found)
        raise InputError(f"configuration: {where}: {error.message if finite else f'{found} is not a finite number'}")
    return completed


def _refuse_unknown_keys(settings, schema: dict, path: tuple[str, ...], recipe: str) -> None:
    if not isinstance(settings, dict):
        return
    known, others = schema.get("properties", {}), schema.get("additionalProperties")
    for key, value in settings.items():
        where = ".".join((*path, str(key)))
        if key in schema.get("moved", {}):
            raise InputError(f"configuration: {where} is now {schema['moved'][key]}")
        if key not in known:
            if others is False:
                raise InputError(f"configuration: unknown key {where}{_nearest(key, known)}")
            if isinstance(others, dict):
                _refuse_unknown_keys(value, others, (*path, str(key)), recipe)
            continue
        if recipe not in known[key].get("recipes", [recipe]):
            raise InputError(
                f"configuration: the recipe {recipe} does not read {where}; it belongs to "
                f"{' and '.join(known[key]['recipes'])}"
            )
        _refuse_unknown_keys(value, known[key], (*path, str(key)), recipe)


def _with_defaults(settings, schema: dict, fill: bool = True):
    """``settings`` in the order of the schema, independent of the user's order, so that rules get the same parameters.

    Missing keys get their defaults if ``fill``.
    """
    if isinstance(settings, dict) and schema.get("path") == "source":
        return _written_source(settings)
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
            if isinstance(named, dict):
                value = _with_defaults(value, named, fill and not named.get("partial"))
            completed[key] = value
    return completed


def _written_source(settings: dict) -> str:
    """Write such a mapping as ``FILE``, ``FILE,ANNOTATION`` or ``FILE:key=column,…``, as commands read it."""
    for key, value in settings.items():
        if key not in SOURCE_KEYS:
            raise InputError(f"configuration: unknown key {key} of a source{_nearest(key, SOURCE_KEYS)}")
        if (
            isinstance(value, (dict, list))
            or value is None
            or set(str(value)) & (set(":,") if key == "file" else set(","))
        ):
            raise InputError(f"configuration: {key} of a source is {value!r}; expected one name, without commas")
    if "file" not in settings:
        raise InputError(f"configuration: a source has the keys {', '.join(settings)}; expected file among them")
    rest = {key: value for key, value in settings.items() if key != "file"}
    if "annotation" in rest:
        if len(rest) > 1:
            raise InputError(
                "configuration: a source has both an annotation and columns of a table; expected one of them"
            )
        return f"{settings['file']},{rest['annotation']}"
    words = {True: "yes", False: "no"}
    keys = ",".join(f"{key}={words[value] if isinstance(value, bool) else value}" for key, value in rest.items())
    return f"{settings['file']}:{keys}" if keys else str(settings["file"])


def _as_number(value, kinds):
    """Treat 1 and 1.0 as the same setting: float if the schema requires a number, int if it requires an integer."""
    if isinstance(value, int) and not isinstance(value, bool) and "number" in kinds and abs(value) < 2**53:
        return float(value)
    if isinstance(value, float) and "integer" in kinds and value.is_integer():
        return int(value)
    return value


def _nearest(word, known) -> str:
    close = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
