"""Print EEG-encoder parameters and file bytes of every teacher and its student.

    python scripts/parameters.py [n_classes]

The article: about 30.8 M and 17.9 M, ratio 58.1 %, for the pair ``teacher``/``student``.
"""

import sys

from safetensors.torch import save

from distilclip_eeg.config import CONFIG_DIR, build, load

SHAPES = ((19, 256, 256.0), (23, 256, 256.0), (19, 500, 500.0))


def main() -> None:
    classes = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    print(f"{classes} classes; one-second windows; weights as float32 safetensors")
    print("pair    channels   Hz      teacher      student    ratio  bytes ratio")
    for path in sorted((CONFIG_DIR / "model").glob("teacher*.yaml")):
        for n_chans, n_times, sfreq in SHAPES:
            count, size = [], []
            for name in (path.stem, path.stem.replace("teacher", "student")):
                net = build(
                    load("train", [f"model={name}"])["model"]["net"],
                    n_chans=n_chans,
                    n_times=n_times,
                    sfreq=sfreq,
                    n_outputs=classes,
                )
                count.append(sum(p.numel() for p in net.parameters()))
                size.append(len(save(net.state_dict())))
            pair = path.stem.removeprefix("teacher").removeprefix("_") or "article"
            print(
                f"{pair:8s}{n_chans:9d}{sfreq:5.0f}{count[0]:13,d}{count[1]:13,d}{count[1] / count[0]:9.2%}"
                f"{size[1] / size[0]:13.2%}"
            )


if __name__ == "__main__":
    main()
