"""Parameters, bytes and FLOPs of teachers and students.

    python scripts/parameters.py [n_classes]        # EEG encoders of every pair, three montages
    python scripts/parameters.py model=teacher      # one model by layer, text included, cumulative
        [batch=32 texts=32 tokens=64 channels=19 sfreq=256 classes=8 csv=FILE]

The article: about 30.8 M and 17.9 M parameters, ratio 58.1 %, above 7e11 and below 2e11 FLOPs for the pair
``teacher``/``student``. FLOPs are of one forward pass, two a multiply-add: of the article's architecture
word for word, and as executed here (prompts as keys and values only, one convolution for two).
"""

import sys

from safetensors.torch import save

from distilclip_eeg.config.compose import CONFIG_DIR, build, load
from distilclip_eeg.models.cost import COUNTS, Workload, eeg_cost, model_cost, page
from distilclip_eeg.schema import ConfigError, UserError

SHAPES = ((19, 256, 256.0), (23, 256, 256.0), (19, 500, 500.0))
NUMBERS = {"batch": 32, "texts": 32, "tokens": 64, "channels": 19, "sfreq": 256, "classes": 8}


def pairs(classes: int) -> None:
    """One line a pair of teacher and student and a montage."""
    batch = Workload.batch
    print(f"{classes} classes; one-second windows; weights as float32 safetensors")
    print(f"GFLOP: a batch of {batch}, EEG side, the article's architecture / as executed here")
    print(
        "pair    channels   Hz      teacher      student    ratio  bytes ratio  teacher GFLOP  student GFLOP"
    )
    for path in sorted((CONFIG_DIR / "model").glob("teacher*.yaml")):
        names = path.stem, path.stem.replace("teacher", "student")
        settings = [load("train", [f"model={name}"])["model"]["net"] for name in names]
        pair = path.stem.removeprefix("teacher").removeprefix("_") or "article"
        for n_chans, n_times, sfreq in SHAPES:
            sizes = {"n_chans": n_chans, "n_times": n_times, "sfreq": sfreq, "n_outputs": classes}
            nets = [build(s, **sizes) for s in settings]
            count = [sum(p.numel() for p in net.parameters()) for net in nets]
            size = [len(save(net.state_dict())) for net in nets]
            costs = [eeg_cost(net.to("meta"), n_times, batch)[COUNTS].sum() / 1e9 for net in nets]
            print(
                f"{pair:8s}{n_chans:9d}{sfreq:5.0f}{count[0]:13,d}{count[1]:13,d}{count[1] / count[0]:9.2%}"
                f"{size[1] / size[0]:13.2%}"
                + "".join(f"{c['article']:8.1f} /{c['executed']:5.1f}" for c in costs)
            )


def by_layer(words: dict[str, str]) -> None:
    """One model, layer by layer."""
    for name, value in words.items():
        if name not in ("model", "csv", *NUMBERS):
            raise ConfigError(f"{name}: there is no such word. There are: model, csv, {', '.join(NUMBERS)}.")
        if name in NUMBERS and not (value.isdecimal() and int(value) > 0):
            raise ConfigError(f"{name}={value}: expected a whole number above 0.")
    n = NUMBERS | {name: int(value) for name, value in words.items() if name in NUMBERS}
    sizes = {"n_chans": n["channels"], "n_times": n["sfreq"], "sfreq": float(n["sfreq"])}
    sizes["n_outputs"] = n["classes"]
    work = Workload(n["batch"], n["texts"], n["tokens"])
    model = words.get("model", "teacher")
    table = model_cost(model, sizes, work)
    if "csv" in words:
        table.to_csv(words["csv"], index=False)
    print(page(table, model, sizes, work))


if __name__ == "__main__":
    words = dict(word.split("=", 1) for word in sys.argv[1:] if "=" in word)
    try:
        if words:
            by_layer(words)
        else:
            pairs(int(sys.argv[1]) if len(sys.argv) > 1 else 8)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
