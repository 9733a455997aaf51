"""A setting is defined once, as a field of a dataclass; options, schemas and documentation are made from it.

The settings of a stage's commands are in its module ``settings``, which has no heavy imports:

    @dataclass(frozen=True)
    class SearchSettings(Settings):
        sensitivity: float = setting(2.0, "-s of the search; 1 is fast, 7.5 sensitive.", minimum=1, maximum=8.5)

`add_settings` adds one option per field to a command, `settings_of` builds the dataclass from the parsed options, and a
section of the configuration with ``settings: genestill.labels.settings.SearchSettings`` in its schema gets one key per
field (`expand`). Types are ``int``, ``float``, ``str``, ``bool``, unions of these with ``None`` and with
`typing.Literal`, and ``tuple[…, ...]`` for lists.
"""

import argparse
import dataclasses
import importlib
import math
import numbers
import re
import types
import typing
from collections.abc import Iterable

from genestill.core.errors import InputError

_NAMES = {int: "integer", float: "number", str: "string", bool: "boolean", type(None): "null"}
_WORDS = {int: "an integer", float: "a finite number", str: "a text", bool: "true or false", type(None): "null"}
_BOUNDS = {
    "minimum": ("at least", lambda value, bound: value >= bound),
    "exclusiveMinimum": ("greater than", lambda value, bound: value > bound),
    "maximum": ("at most", lambda value, bound: value <= bound),
    "exclusiveMaximum": ("less than", lambda value, bound: value < bound),
}


REQUIRED = dataclasses.MISSING


def setting(
    default,
    description: str,
    *,
    unit: str | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    exclusive_minimum: float | None = None,
    exclusive_maximum: float | None = None,
    choices: Iterable | None = None,
    pattern: str | None = None,
    recipes: Iterable[str] | None = None,
    path: str | None = None,
):
    """A field of a settings dataclass.

    Args:
        default: the default value; `REQUIRED` for none.
        description: meaning of the setting; one or more sentences.
        unit: unit of the value, added at the end of the description.
        minimum, maximum, exclusive_minimum, exclusive_maximum: bounds of a number, or of each number of a list.
        choices: the accepted values, in addition to None if the type includes it.
        pattern: regular expression that must be found in a text.
        recipes: the only recipes that read the setting; None for all.
        path: the kind of path, see `genestill.core.given_paths`.
    """
    bounds = {
        "minimum": minimum,
        "exclusiveMinimum": exclusive_minimum,
        "maximum": maximum,
        "exclusiveMaximum": exclusive_maximum,
    }
    return dataclasses.field(
        default=default,
        metadata={
            "description": f"{description} {unit[:1].upper()}{unit[1:]}." if unit else description,
            "bounds": {name: bound for name, bound in bounds.items() if bound is not None},
            "choices": None if choices is None else tuple(choices),
            "pattern": pattern,
            "recipes": None if recipes is None else list(recipes),
            "path": path,
        },
    )


@dataclasses.dataclass(frozen=True)
class Settings:
    """Base class of all settings. An instance with a value that a field does not accept raises `InputError`."""

    def __post_init__(self):
        for name, described in _fields(type(self)).items():
            value = getattr(self, name)
            if isinstance(value, list):
                value = tuple(value)
                object.__setattr__(self, name, value)
            if not described.accepts(value):
                raise InputError(f"{name} is {value!r}; expected {described.expected()}")


@dataclasses.dataclass(frozen=True)
class Described:
    """A field with its parsed type: ``kinds`` and ``literals`` of a value, or of each value of a list (``many``)."""

    default: object
    description: str
    bounds: dict
    choices: tuple | None
    pattern: str | None
    recipes: list | None
    path: str | None
    kinds: tuple
    literals: tuple
    many: bool

    def accepts(self, value) -> bool:
        """Whether the field accepts this value."""
        if self.many and value is not None:
            return isinstance(value, tuple) and bool(value) and all(self._accepts_one(one) for one in value)
        return self._accepts_one(value)

    def _accepts_one(self, value) -> bool:
        if value is None:
            return type(None) in self.kinds
        if self.choices is not None:
            return value in self.choices
        if isinstance(value, bool):
            return bool in self.kinds
        if isinstance(value, str):
            fits = self.pattern is None or re.search(self.pattern, value) is not None
            return (str in self.kinds and fits) or value in self.literals
        if isinstance(value, numbers.Integral):
            known = int in self.kinds or float in self.kinds
        else:
            known = isinstance(value, numbers.Real) and float in self.kinds and math.isfinite(value)
        return known and all(_BOUNDS[name][1](value, bound) for name, bound in self.bounds.items())

    def expected(self) -> str:
        """The accepted values, as text."""
        if self.choices is not None:
            words = ["one of " + ", ".join(map(str, self.choices))]
            words += ["null"] * (type(None) in self.kinds)
        else:
            bounds = " and ".join(f"{_BOUNDS[name][0]} {bound}" for name, bound in self.bounds.items())
            words = [
                f"{_WORDS[kind]} of {bounds}".replace("of greater", "greater").replace("of less", "less")
                if bounds and kind in (int, float)
                else _WORDS[kind]
                for kind in self.kinds
            ]
            words += [repr(literal) for literal in self.literals]
            words[0] += f" that matches {self.pattern}" if self.pattern else ""
        return ("a list, each value " if self.many else "") + " or ".join(words)

    def read(self, text: str):
        """Convert a word of the command line to a value."""
        if text in self.literals or (self.choices and text in self.choices):
            return text
        for kind in (int, float):
            if kind in self.kinds:
                try:
                    return kind(text)
                except ValueError:
                    pass
        if str in self.kinds:
            return text
        raise argparse.ArgumentTypeError(f"{text!r}; expected {self.expected()}")

    def metavar(self) -> str | None:
        """The placeholder of the value in the help; None for the default of argparse."""
        if self.path is not None:
            return self.path.upper()
        words = [{int: "N", float: "X"}[kind] for kind in self.kinds if kind in (int, float)]
        return "|".join([*words, *map(str, self.literals)]) if words and self.choices is None else None

    def schema(self) -> dict:
        """The field as JSON Schema."""
        kinds = [{"type": _NAMES[kind]} | (self.bounds if kind in (int, float) else {}) for kind in self.kinds]
        if self.choices is not None:
            null = type(None) in self.kinds
            schema = {
                "type": kinds[0]["type"] if len(kinds) == 1 else [kind["type"] for kind in kinds],
                "enum": [*self.choices, *[None] * null],
            }
        elif self.literals:
            schema = {"anyOf": [*kinds[:1], *({"const": one} for one in self.literals), *kinds[1:]]}
        else:
            types_ = [kind["type"] for kind in kinds]
            schema = {"type": types_[0] if len(types_) == 1 else types_} | self.bounds
            schema |= {"pattern": self.pattern} if self.pattern else {}
        default = list(self.default) if isinstance(self.default, tuple) else self.default
        if self.many:
            schema = {"type": "array", "items": schema, "minItems": 1}
        if default is not REQUIRED:
            schema |= {"default": default}
        schema |= {"description": self.description}
        ours = {"recipes": self.recipes, "path": self.path}
        return schema | {word: value for word, value in ours.items() if value is not None}


def _fields(kind: type) -> dict[str, Described]:
    hints = typing.get_type_hints(kind)
    return {
        field.name: _described(field, hints[field.name])
        for field in dataclasses.fields(kind)
        if "description" in field.metadata
    }


def _described(field: dataclasses.Field, hint) -> Described:
    many = typing.get_origin(hint) is tuple
    if many:
        hint = typing.get_args(hint)[0]
    united = typing.get_origin(hint) in (typing.Union, types.UnionType)
    kinds: list = []
    literals: list = []
    for part in typing.get_args(hint) if united else (hint,):
        if typing.get_origin(part) is typing.Literal:
            literals += typing.get_args(part)
        else:
            kinds.append(part)
    default = field.default
    if float in kinds and int not in kinds and isinstance(default, int):
        default = float(default)
    return Described(default=default, kinds=tuple(kinds), literals=tuple(literals), many=many, **field.metadata)


def add_settings(parser, kind: type, only: Iterable[str] | None = None) -> None:
    """Add one option per setting of ``kind`` to a parser, or for the settings in ``only``.

    An option has the name of its field, with dashes; boolean options also have a ``--no-…``.
    """
    for name, described in _fields(kind).items():
        if only is not None and name not in only:
            continue
        option = f"--{name.replace('_', '-')}"
        if described.kinds == (bool,):
            added = parser.add_argument(option, action=argparse.BooleanOptionalAction, default=described.default)
        else:
            added = parser.add_argument(
                option,
                type=described.read,
                default=None if described.default is REQUIRED else described.default,
                required=described.default is REQUIRED,
                choices=described.choices,
                metavar=described.metavar(),
                nargs="+" if described.many else None,
            )
        added.help = _help(described)


def _help(described: Described) -> str:
    words = described.description.rstrip(".")
    if not words[1:2].isupper():
        words = words[:1].lower() + words[1:]
    default = described.default
    if isinstance(default, tuple):
        default = " ".join(map(str, default))
    elif isinstance(default, bool):
        default = "yes" if default else "no"
    elif isinstance(default, float):
        default = f"{default:g}"
    shown = "" if default in (None, REQUIRED) else f" (default: {default})"
    return f"{words}{shown}".replace("%", "%%")


def settings_of(kind: type, options):
    """Build the dataclass ``kind`` from the options of the same names; fields without an option keep their defaults.

    Raises:
        InputError: a value that is not accepted, with the expected values.
    """
    given = {field.name: getattr(options, field.name) for field in dataclasses.fields(kind) if field.name in options}
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})


def select_settings(section: dict, kind: type, without: Iterable[str] = ()) -> dict:
    """The keys of a section of the configuration that are settings of ``kind``, in the order of its fields."""
    return {name: section[name] for name in _fields(kind) if name in section and name not in without}


def schema_of(kind: type) -> dict[str, dict]:
    """One JSON Schema per setting of ``kind``: type, bounds, default, and description followed by the unit."""
    return {name: described.schema() for name, described in _fields(kind).items()}


def expand(schema):
    """Replace ``settings: package.module.Kind`` (or a list of these) in a schema by the properties of the settings.

    Settings in ``without`` are left out; ``properties`` beside it are added, or merged over those of the same name, for
    example with another default. A default of null makes null an accepted value, which a rule replaces.
    """
    if isinstance(schema, list):
        return [expand(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: expand(value) for key, value in schema.items()}
    names = schema.get("settings")
    if isinstance(names, dict) or names is None:
        return schema
    without = schema.pop("without", [])
    properties = {}
    for name in [schema.pop("settings")] if isinstance(names, str) else schema.pop("settings"):
        for key, one in schema_of(_import(name)).items():
            if key not in without:
                properties.setdefault(key, one)
    for key, one in schema.get("properties", {}).items():
        if key in properties and "default" in one and one["default"] is None:
            properties[key] = _nullable(properties[key])
        properties[key] = properties.get(key, {}) | one
    return schema | {"properties": properties}


def _nullable(schema: dict) -> dict:
    if "enum" in schema:
        schema = schema | {"enum": [*schema["enum"], None]}
    kinds = schema["type"]
    return schema | {"type": [*([kinds] if isinstance(kinds, str) else kinds), "null"]}


def refuse_settings(settings, schema, where: str) -> None:
    """Make every dataclass named in ``schema`` (not expanded) from ``settings``, to run the checks of the dataclass.

    Raises:
        InputError: the place in the configuration, with the message of the dataclass.
    """
    if not isinstance(schema, dict) or not isinstance(settings, dict):
        return
    names = schema.get("settings")
    # Values that only the schema accepts, such as null for a value computed by a rule, are not checked here.
    said = {key for key, one in schema.get("properties", {}).items() if set(one) != {"affects"}}
    other = {*schema.get("without", ()), *said}
    for name in [names] if isinstance(names, str) else names if isinstance(names, list) else []:
        kind = _import(name)
        try:
            kind(**select_settings(settings, kind, other))
        except InputError as error:
            raise InputError(f"configuration: {where}: {error}") from None
    for key, value in settings.items():
        child = schema.get("properties", {}).get(key)
        refuse_settings(value, child, f"{where}.{key}")
        named = child.get("additionalProperties") if isinstance(child, dict) and isinstance(value, dict) else None
        if not isinstance(named, dict):
            continue
        for name, one in value.items():
            over_defaults = named.get("partial") and "defaults" in settings
            whole = settings["defaults"] | one if over_defaults and one is not None else one
            refuse_settings(whole, named, f"{where}.{key}.{name}")


def _import(name: str) -> type:
    module, _, kind = name.rpartition(".")
    return getattr(importlib.import_module(module), kind)
