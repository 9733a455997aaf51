"""The settings of this stage's commands."""

from dataclasses import dataclass

from genestill.core.settings import Settings, setting

# The others read of the section evaluation only which predictions are scored beside the student's.
_TAXONOMY = ("taxdistill", "taxdistill-published")


@dataclass(frozen=True)
class ComparisonSettings(Settings):
    """What models are compared with."""

    labels_name: str = setting(
        "MMseqs2",
        "What the labels are called in tables and figures; the tool they come from.",
        pattern="^[A-Za-z0-9][A-Za-z0-9_. -]*$",
        recipes=_TAXONOMY,
    )


@dataclass(frozen=True)
class IntervalSettings(Settings):
    """How intervals of the taxonomy recipes are estimated."""

    resamples: int = setting(
        2000, "Bootstrap resamples of genomes behind every interval.", minimum=100, recipes=_TAXONOMY
    )


@dataclass(frozen=True)
class ProbeSettings(Settings):
    """How often a probe is fitted."""

    split_seeds: tuple[int, ...] = setting((2541, 413, 411, 2547, 2548), "Seeds of the probes' splits.", minimum=0)


@dataclass(frozen=True)
class ProbeTableSettings(Settings):
    """How intervals of the recipe ``mrna`` are estimated."""

    replicates: int = setting(1000, "Bootstrap replicates behind every interval.", minimum=100)


@dataclass(frozen=True)
class BaselineSettings(Settings):
    """How baselines of sequence tasks are fitted."""

    epochs: int = setting(10, "Passes of the CNN over the training rows.", minimum=1)


@dataclass(frozen=True)
class AdmissionSettings(Settings):
    """What is asked of a teacher before students learn from it."""

    admission: str = setting(
        "warn",
        "Whether the frozen teacher must explain more of the training rows of the tasks than the strongest baseline "
        "alone; warn says so and goes on, stop ends the run before a student is trained, off does not ask.",
        choices=("warn", "stop", "off"),
    )
    most_rows: int = setting(1500, "Training rows per task that are drawn; time grows with their cube.", minimum=100)
