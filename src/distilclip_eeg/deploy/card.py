"""Model card and data card in one page, inside every exported folder; made of ``config.json`` alone."""

from html import escape
from typing import Any

from distilclip_eeg.report.cards import ARTICLE, source
from distilclip_eeg.schema import visible

SCORES = ("f1", "recall", "precision", "specificity", "balanced_accuracy", "auroc", "average_precision")
MEDICAL = (
    "**Research software, not a medical device.** For research on recorded scalp EEG. Not for diagnosis, "
    "monitoring, alarms or treatment; not validated prospectively or clinically. An empty list of events "
    'means "no event above the threshold", never "normal".'
)
LIMITS = (
    "Trained on the people, montage and rate above: a result on another age group, montage or kind of "
    "recording (intensive care, intracranial) says nothing until it is measured there.",
    "Artefacts (chewing, movement, electrode pops) and rhythmic normal activity can look like seizures; "
    "short and focal seizures can be missed.",
    "A channel that is missing or filled changes the answer.",
    "Labels are those of the corpus's annotators, who differ among themselves.",
    "A probability holds at the prevalence above, not at a recording's own; detect.prior moves it to the "
    "share of seizure where the model is used.",
)
CITATION = (
    f"{ARTICLE}. This is an independent implementation; cite the article, the software (CITATION.cff) and "
    "the corpus."
)


def card(about: dict) -> str:
    """The page as Markdown, in which names of files' making are text and nothing else."""
    about = as_text(about)
    recipe, made, model = about["recipe"], about["made"], about["model"]
    signals, part = recipe["signals"], made.get("part")
    band = f"{signals['l_freq'] or 0:g} to {signals['h_freq'] or signals['sfreq'] / 2:g} Hz"
    mains = f", notch at {signals['notch_hz']:g} Hz" if signals["notch_hz"] else ""
    lines = [
        f"# {model['name']} trained on {made['dataset']} ({made['weights']})",
        MEDICAL,
        "## Model",
        f"- {model['name']}, a {model['kind']}; {window_words(recipe)} at {signals['sfreq']:g} Hz; "
        f"classes: {', '.join(recipe['classes'])}.",
        f"- Montage {signals['montage']}, {len(recipe['ch_names'])} channels: "
        f"{', '.join(recipe['ch_names'])}.",
        f"- Filter {band} ({signals['phase']} phase){mains}; clipped at {signals['clip_uv']} uV; normalised "
        f"over: {signals['normalize']}.",
        f"- Weights: {weights_words(made)}",
        *([f"- **Of the run {part} are finished**; the others have no say in it."] if part else []),
        f"- Text encoder: {'in this folder' if about['text'] else 'none'}{text_words(made)}.",
        "## Alarms",
        *alarm_lines(recipe["detect"], made["threshold"]),
        "## Training data",
        *data_lines(made, recipe["ages"]),
        *(["- Their codes: " + ", ".join(recipe["persons"]) + "."] if recipe.get("persons") else []),
        "## Scores",
        *score_lines(made),
        "## Limits",
        *(f"- {limit}" for limit in LIMITS),
        "## Provenance",
        f"- Run {made['run']}, split {made['split']}, seed {made['seed']}, code "
        f"{made['commit'] or 'unknown'}.",
        f"- Folds {made['folds_sha256'][:16]}, data {made['store_digest'][:16]}.",
        f"- {', '.join(f'{name} {number}' for name, number in made['libraries'].items())}.",
        "## Citation",
        " ".join([CITATION, *(f"{said}." for said in source(made["dataset"]))]),
    ]
    return "\n\n".join(paragraphs(lines)) + "\n"


def window_words(recipe: dict) -> str:
    """How long a window is, and what is seen beside it."""
    before, after = (recipe.get(side, 0) for side in ("before", "after"))
    length, before_s, after_s = (
        n / recipe["signals"]["sfreq"] for n in (recipe["n_times"] - before - after, before, after)
    )
    context = f", seen with {before_s:g} s before and {after_s:g} s after it" * (before + after > 0)
    return f"window of {length:g} s{context}"


def as_text(tree: Any) -> Any:
    """The same values with every text escaped: no markup of a label or a channel's name reaches the page."""
    if isinstance(tree, dict):
        return {as_text(key): as_text(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [as_text(value) for value in tree]
    return escape(visible(tree), quote=False).translate(MARKS) if isinstance(tree, str) else tree


MARKS = str.maketrans({mark: f"\\{mark}" for mark in "[]`|!"})
"""What makes links, pictures, code and tables in Markdown."""
WEIGHTS = {
    "final": "trained on all data of the run for {epochs} epochs, the median of the folds' best.",
    "ensemble": "the networks of {folds}; the answer is the mean of their probabilities.",
    "fold": "the network of {weights}.",
}


def weights_words(made: dict) -> str:
    """Which networks they are of."""
    kind = made["weights"].rstrip("0123456789")
    return WEIGHTS[kind].format(**made, folds=made.get("part") or "all folds")


def text_words(made: dict) -> str:
    """What windows and texts were paired by, where the model learned from text."""
    targets = made.get("targets")
    return f"; windows and texts paired by loss.targets={targets}" if targets else ""


def alarm_lines(detect: dict, basis: dict) -> list[str]:
    """How events are made of probabilities, for which budget, and on how much background that rests."""
    release = detect["threshold"] if detect["release"] is None else detect["release"]
    prior = f" at a prior of {detect['prior']:g}" if detect["prior"] is not None else ""
    lines = [
        f"- Threshold {detect['threshold']:.4g}: events begin where the probability of any seizure{prior}, "
        f"the mean over {detect['smooth_s']:g} s, reaches it, and go on while it is at least {release:.4g}. "
        f"Events less than {detect['merge_gap_s']:g} s apart become one; those below "
        f"{detect['min_duration_s']:g} s are dropped.",
        f"- Chosen on held-out data of folds {', '.join(map(str, basis['folds']))} ({basis['windows']:,} "
        f"windows), each judged by a network that never saw it: {basis['rule']}.",
    ]
    if "quiet_hours" in basis:
        low, high = basis["quiet_share_by_person"]
        lines.append(
            f"- **That rests on {basis['quiet_hours']:.2f} hours without seizure** of {basis['persons']} "
            f"persons: {100 * basis['quiet_share']:.1f} % of them under alarm ({100 * low:.0f} to "
            f"{100 * high:.0f} % by person), {basis['hits']} of {basis['seizures']} seizures hit. False "
            "alarms a day on other recordings are not known from this."
        )
    if detect["prevalence"] is not None:
        lines.append(
            f"- Probabilities hold at a prevalence of {detect['prevalence']:.3g}, found on held-out data."
        )
    return lines


def data_lines(made: dict, ages: str) -> list[str]:
    """Who was trained on, in numbers."""
    seen = made["trained_on"]
    balanced = (
        "; training takes at most as much background as seizure" if made["windows"]["balance_train"] else ""
    )
    people = "persons unknown" if seen["people"] is None else f"{seen['people']} people"
    windows = ", ".join(f"{name} {n:,}" for name, n in seen["windows"].items())
    lines = [
        f"- {people}, {seen['recordings']} recordings, {seen['hours']:g} hours, {seen['seizures']} seizures.",
        f"- Windows by class: {windows}{balanced}.",
        f"- Age group: {ages}.",
    ]
    if seen["people"] is not None:
        for what, key in (("Age bands", "age_bands"), ("Sexes", "sexes")):
            lines.append(f"- {what} (people): {', '.join(f'{k} {n}' for k, n in seen[key].items())}.")
    return lines


def score_lines(made: dict) -> list[str]:
    """Test scores of the model itself where it has any, then those of the run's cross-validation."""
    lines = [f"- Protocol: split={made['split']}; {made['protocol']}."]
    if made["test"]:
        row = made["test"]
        scores = ", ".join(f"{name} {row[name]:.3f}" for name in SCORES if row[name] is not None)
        lines.append(
            f"- On the {row['n']:,} test windows of its fold ({100 * row['prevalence']:.1f} % seizure), "
            f"by the likeliest class: {scores}."
        )
    else:
        lines.append(
            "- **No test score belongs to this model**: every window of the data was used to train it, or "
            "one of its members."
        )
    if made["cross_validation"]:
        rows = {name: made["cross_validation"].get(name) for name in SCORES}
        scores = ", ".join(
            f"{name} {row['mean']:.3f}" for name, row in rows.items() if row and row["mean"] is not None
        )
        lines.append(
            f"- Cross-validation of the same settings (other networks; mean over "
            f"{made.get('part') or 'folds'}, by the likeliest class): {scores}."
        )
    return lines


def paragraphs(lines: list[str]) -> list[str]:
    """Lines with list items kept together."""
    joined: list[str] = []
    for line in lines:
        if line.startswith("- ") and joined and joined[-1].startswith("- "):
            joined[-1] += f"\n{line}"
        else:
            joined.append(line)
    return joined
