"""The identity of a run: decides whether published results were computed with its settings."""

import hashlib
import json

import genestill

# Settings that do not affect results: hardware, figures and checks.
_WITHOUT_EFFECT = {
    "teacher": ("gpu_model", "compile", "shards", "processes", "check", "admission"),
    "evaluation": ("amber", "predictions"),
}
# Settings whose default is left out, because results were published before they were part of the identity.
_DEFAULTS: dict[str, dict] = {
    "dataset": {"set_aside": None},
    "student": {"false_discovery_rate": 0.05, "smallest_group": 20_000},
}


def identity_of_settings(configuration: dict) -> str:
    """12 hexadecimal digits that change with any setting that may affect results, and with genestill's version.

    ``configuration`` is the effective one, as in ``configuration.yaml`` beside the results. Files are identified by
    name.
    """
    kept = {
        section: {
            key: value
            for key, value in settings.items()
            if key not in _WITHOUT_EFFECT.get(section, ()) and (key, value) not in _DEFAULTS.get(section, {}).items()
        }
        if isinstance(settings, dict)
        else settings
        for section, settings in configuration.items()
    }
    # An empty section has no effect on results, like a section that the recipe does not read.
    kept = {section: settings for section, settings in kept.items() if settings != {}}
    text = json.dumps([genestill.__version__, kept], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
