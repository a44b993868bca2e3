"""What is odd about using a model on a recording: another age, other signals, a person it knows already."""

import re

from distilclip_eeg.artefact.recipe import AGES, Recipe
from distilclip_eeg.deploy.detection import UNLIKE, Detection
from distilclip_eeg.deploy.likeness import Profile, differences
from distilclip_eeg.schema import ConfigError, SkipRecording, check_choice

GROUPS = {"infant": "child", "adolescent": "child", "older adult": "adult"}
"""Age bands of a header that belong to a group of another name."""
ANY = "any"
LEAST_ALARM = 0.1
"""No share under alarm below this one is unlike training."""
MOST_ALARM = 0.5
"""More is told even of a model of excerpts, some of which are nothing but seizure."""


def unlike(recipe: Recipe, profile: Profile, found: Detection) -> list[str]:
    """What of a recording is unlike the training recordings: a warning, or none."""
    said = differences(profile, recipe.like)
    length_E = found.track.events_E2[:, 1] - found.track.events_E2[:, 0]
    share = float(length_E.sum()) / found.track.recorded_s
    most = MOST_ALARM if recipe.most_alarm is None else recipe.most_alarm
    if share > MOST_ALARM:
        said.append(f"{100 * share:.0f} % of it under alarm, more than half")
    elif share > max(most, LEAST_ALARM):
        said.append(
            f"{100 * share:.0f} % of it under alarm, {100 * most:.0f} % at most of any validation recording"
        )
    return [f"{UNLIKE}: " + "; ".join(said)] if said else []


def seen_before(recipe: Recipe, name: str) -> list[str]:
    """A warning where a recording is named after a person that the model was trained on."""
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    return [
        f"seen_person: the name holds {code}, on whom the model was trained; this is no test of it"
        for code in recipe.persons
        if code.lower() in words
    ]


def check_ages(recipe: Recipe, ages: str | None) -> str | None:
    """The age group as given, unless the model was not trained on it.

    Raises:
        ConfigError: it was trained on another, or ``ages`` is unknown.
    """
    check_choice("ages", ages, (None, *AGES, ANY))
    if ages in (None, ANY, "unknown") or recipe.ages == "unknown" or fits(ages, recipe.ages):
        return ages
    raise ConfigError(
        f"ages={ages}: the model was trained on {recipe.ages}, which says nothing about others. Use another "
        f"model, or ages={ANY} to use it all the same."
    )


def fits(group: str, trained: str) -> bool:
    """Whether every age of ``group`` is among those of ``trained``."""
    return {*group.split(" and ")} <= {*trained.split(" and ")}


def age_warnings(name: str, trained: str, said: str | None, band: str) -> list[str]:
    """What to say of a recording's age band; the file's own word goes before the user's.

    Raises:
        SkipRecording: ``other_age_group``.
    """
    group = GROUPS.get(band, band) or (said if said not in (None, ANY, "unknown") else "")
    if trained == "unknown":
        return ["unknown_ages: the model does not say the age of those it was trained on"]
    if not group:
        return [f"unknown_age: the recording does not tell it, the model was trained on {trained}"]
    if fits(group, trained):
        return []
    if said == ANY:
        return [f"other_age_group: a recording of {group}, the model was trained on {trained}"]
    raise SkipRecording(
        f"{name}: a recording of {group}; expected {trained}, on whom the model was trained. Leave it out, "
        f"or set ages={ANY} to use the model all the same.",
        reason="other_age_group",
    )
