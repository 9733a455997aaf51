"""Options, schemas and checks that are made from the fields of a settings dataclass."""

import argparse
import re
from dataclasses import dataclass
from typing import Literal

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genestill.core.errors import InputError
from genestill.core.settings import (
    REQUIRED,
    Settings,
    add_settings,
    expand,
    schema_of,
    select_settings,
    setting,
    settings_of,
)


@dataclass(frozen=True)
class Baking(Settings):
    loaves: int = setting(2, "Loaves of one batch.", minimum=1, maximum=12)
    heat: float = setting(230, "Temperature of the oven.", unit="degrees Celsius", exclusive_minimum=0)
    minutes: float | None = setting(None, "Time in the oven; null bakes until done.", minimum=0)
    flour: str = setting("wheat", "Kind of flour.", choices=("wheat", "rye"))
    rack: int | Literal["middle"] = setting("middle", "Rack of the oven, from 0.", minimum=0)
    baker: str | None = setting(None, "Who bakes.", pattern="^[A-Z]")
    steam: bool = setting(True, "Whether water is sprayed in.")
    rests: tuple[float, ...] = setting((0.5, 1), "Rests between folds.", unit="hours", exclusive_minimum=0)
    seed: int = 1


def parser(only=None):
    made = argparse.ArgumentParser(exit_on_error=False)
    add_settings(made, Baking, only)
    return made


def baked(*words):
    return settings_of(Baking, parser().parse_args(words))


@dataclass(frozen=True)
class Ordering(Settings):
    number: int = setting(REQUIRED, "Loaves that are ordered.", minimum=1)


def test_a_setting_without_a_default_must_be_given():
    made = argparse.ArgumentParser(exit_on_error=False)
    add_settings(made, Ordering)
    assert settings_of(Ordering, made.parse_args(["--number", "3"])) == Ordering(3)
    with pytest.raises((argparse.ArgumentError, SystemExit)):
        made.parse_args([])
    assert "default" not in schema_of(Ordering)["number"]
    assert "--number N loaves that are ordered" in re.sub(r"\s+", " ", made.format_help())


def test_without_options_a_command_has_the_defaults_of_its_settings():
    assert baked() == Baking()


def test_options_set_the_settings_of_the_same_names():
    words = "--loaves 3 --heat 200 --minutes 40 --flour rye --rack 1 --no-steam --rests 1 2.5"
    assert baked(*words.split()) == Baking(3, 200.0, 40.0, "rye", 1, None, False, (1.0, 2.5))


def test_the_help_shows_unit_and_default_of_every_option():
    shown = re.sub(r"\s+", " ", parser().format_help())
    assert "--heat X temperature of the oven. Degrees Celsius (default: 230)" in shown
    assert "--rack N|middle" in shown
    assert "kind of flour (default: wheat)" in shown


def test_excluded_settings_have_no_option_and_keep_their_defaults():
    options = parser(only=["loaves", "flour"]).parse_args([])
    assert "heat" not in options
    assert settings_of(Baking, options).heat == 230


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--loaves 0", "loaves is 0; expected an integer of at least 1 and at most 12"),
        ("--loaves 13", "loaves is 13; expected an integer of at least 1 and at most 12"),
        ("--heat 0", "heat is 0.0; expected a finite number greater than 0"),
        ("--heat nan", "heat is nan; expected a finite number greater than 0"),
        ("--heat inf", "heat is inf; expected a finite number greater than 0"),
        ("--minutes nan", "minutes is nan; expected a finite number of at least 0 or null"),
        ("--rack -1", "rack is -1; expected an integer of at least 0 or 'middle'"),
        ("--baker ann", "baker is 'ann'; expected a text that matches ^[A-Z] or null"),
        ("--rests 1 nan", "rests is (1.0, nan); expected a list, each value a finite number greater than 0"),
    ],
)
def test_a_value_out_of_bounds_or_not_finite_is_refused_with_a_clear_message(words, message):
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        baked(*words.split())


@pytest.mark.parametrize("words", ["--loaves 1.5", "--loaves two", "--heat hot", "--rack top", "--flour oat"])
def test_a_value_of_another_type_is_refused_by_the_parser(words):
    with pytest.raises(argparse.ArgumentError):
        parser().parse_args(words.split())


@pytest.mark.parametrize("values", [{"loaves": "2"}, {"loaves": 2.5}, {"steam": 1}, {"flour": None}, {"rests": ()}])
def test_settings_created_in_code_are_checked(values):
    with pytest.raises(InputError):
        Baking(**values)


def test_the_schema_contains_type_bounds_default_and_description():
    schema = schema_of(Baking)
    assert "seed" not in schema
    assert schema["loaves"] == {
        "type": "integer", "minimum": 1, "maximum": 12, "default": 2, "description": "Loaves of one batch.",
    }  # fmt: skip
    assert schema["heat"]["description"] == "Temperature of the oven. Degrees Celsius."
    assert schema["minutes"]["type"] == ["number", "null"]
    assert schema["rack"]["anyOf"] == [{"type": "integer", "minimum": 0}, {"const": "middle"}]


values = st.fixed_dictionaries(
    {},
    optional={
        "loaves": st.integers(-2, 15),
        "heat": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-3, 300),
        "minutes": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "flour": st.sampled_from(["wheat", "rye", "oat", None]),
        "rack": st.integers(-2, 5) | st.sampled_from(["middle", "top"]),
        "baker": st.none() | st.text(),
        "steam": st.booleans() | st.integers(0, 1),
        "rests": st.lists(st.floats(-1, 10)),
    },
)


@given(values)
def test_schema_and_dataclass_accept_the_same_values(chosen):
    schema = {"type": "object", "properties": schema_of(Baking)}
    accepted = jsonschema.Draft202012Validator(schema).is_valid(chosen)
    try:
        Baking(**chosen)
    except InputError:
        assert not accepted
    else:
        assert accepted


def test_a_section_takes_its_keys_from_the_settings_that_it_names():
    section = {
        "settings": [f"{__name__}.Baking"],
        "without": ["heat", "rests"],
        "properties": {"oven": {"type": "string"}, "loaves": {"default": 5}},
    }
    whole = expand({"properties": {"bread": section}})["properties"]["bread"]
    assert list(whole["properties"]) == ["loaves", "minutes", "flour", "rack", "baker", "steam", "oven"]
    assert whole["properties"]["loaves"] == schema_of(Baking)["loaves"] | {"default": 5}
    assert whole.keys() == {"properties"}


def test_a_default_of_null_accepts_null_in_addition_to_valid_values():
    over = {"loaves": {"default": None}, "flour": {"default": None}}
    whole = expand({"settings": f"{__name__}.Baking", "properties": over})
    validator = jsonschema.Draft202012Validator(whole)
    assert validator.is_valid({"loaves": None, "flour": None})
    assert validator.is_valid({"loaves": 3, "flour": "rye"})
    assert not validator.is_valid({"loaves": 0})
    assert not validator.is_valid({"flour": "oat"})


def test_a_key_named_settings_is_an_ordinary_key():
    schema = {"properties": {"settings": {"type": "string"}}}
    assert expand(schema) == schema


def test_the_settings_of_a_command_are_selected_from_a_section_in_their_own_order():
    section = {"oven": "gas", "flour": "rye", "loaves": 3}
    assert select_settings(section, Baking) == {"loaves": 3, "flour": "rye"}
    assert select_settings(section, Baking, without=["flour"]) == {"loaves": 3}
