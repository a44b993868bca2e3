"""Entry of the launchers. Errors are one line; ``-m``, ``--help`` and ``--cfg`` are Hydra's own."""

import sys
import tempfile
from pathlib import Path

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from distilclip_eeg.config.compose import CONFIG_DIR, defaults, load, opened
from distilclip_eeg.schema import NOTE, ConfigError, UserError
from distilclip_eeg.verbs import VERBS

EXTRAS = {
    **dict.fromkeys(("torch", "transformers", "tokenizers", "accelerate", "safetensors"), "train"),
    **dict.fromkeys(("optuna", "filelock", "submitit"), "sweep"),
    **{"onnx": "export", "onnxscript": "export", "onnxruntime": "edge"},
}
"""Which extra of the package brings what the core does without."""


def run(verb: str, argv: list[str] | None = None) -> None:
    """Entry of the launchers; exits with the error's code."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        if any(a.startswith("-") for a in argv):
            hydra_main(verb, argv)
        else:
            VERBS[verb](argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        extra = f"pip install 'distilclip-eeg[{EXTRAS[error.name]}]'"
        print(f"error: {verb} needs {error.name}, which is not installed: {extra}", file=sys.stderr)
        sys.exit(ConfigError.exit_code)
    except KeyboardInterrupt:
        print("stopped; the same command continues where this one ended", file=sys.stderr)
        sys.exit(130)


def hydra_main(verb: str, argv: list[str]) -> None:
    """Sweeps (``-m seed=0,1``), ``--help`` and ``--cfg job`` through Hydra itself."""
    # Hydra wants its flags before the overrides; here they may stand anywhere.
    said = [a for a in argv if not a.startswith("-") and ("=" in a or a.startswith("~"))]
    flags = [a for a in argv if a not in said]
    said = [opened(a) for a in said]
    if "--help" in flags or "-h" in flags:
        print(help_of(verb))
        return
    load(verb, first_of_sweep(said))  # a wrong setting is one line, not Hydra's several

    @hydra.main(config_path=str(CONFIG_DIR), config_name=verb, version_base="1.3")
    def job(node) -> None:
        overrides = list(HydraConfig.get().overrides.task)
        outer = GlobalHydra.instance()
        held, outer.hydra = outer.hydra, None  # the verb composes its own config
        try:
            VERBS[verb](overrides)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(error.exit_code)
        finally:
            outer.hydra = held

    with tempfile.TemporaryDirectory() as scratch:  # for Hydra's multirun.yaml, which holds machine paths
        quiet = [
            "hydra.output_subdir=null",
            "hydra.run.dir=.",
            f"hydra.sweep.dir={scratch}",
            "hydra.sweep.subdir=.",
            "hydra.job.chdir=false",
            "hydra/job_logging=disabled",
            "hydra/hydra_logging=disabled",
        ]
        sys.argv = [f"{verb}.py", *flags, *said, *quiet]
        job()


def first_of_sweep(overrides: list[str]) -> list[str]:
    """``overrides`` with the first value of each sweep."""
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except HydraException as error:
        raise ConfigError(" ".join(str(error).split()), reason="bad_config") from None
    return [
        f"{o.get_key_element()}={next(o.sweep_string_iterator())}" if o.is_sweep_override() else o.input_line
        for o in parsed
    ]


def help_of(verb: str) -> str:
    """What ``--help`` prints: the choices of every group, and every setting with its default."""
    groups = [f"  {f.name}={'|'.join(sorted(p.stem for p in f.glob('*.yaml')))}" for f in group_folders()]
    settings = OmegaConf.to_yaml(OmegaConf.create(defaults(verb)))
    return (
        f"{VERBS[verb].__doc__}\n\nGroups:\n" + "\n".join(groups) + f"\n\nSettings (key=value, or "
        f"group.key=value):\n{settings}\n-m KEY=A,B runs a sweep; --cfg job prints the config.\n{NOTE}"
    )


def group_folders() -> list[Path]:
    return sorted(f for f in CONFIG_DIR.iterdir() if f.is_dir() and any(f.glob("*.yaml")))


def main() -> None:
    """``distilclip-eeg VERB key=value …``."""
    argv = sys.argv[1:]
    if not argv or argv[0] not in VERBS:
        lines = [f"  {name:10s}{(verb.__doc__ or '').splitlines()[0]}" for name, verb in VERBS.items()]
        print("usage: distilclip-eeg VERB [key=value …]\n" + "\n".join(lines) + f"\n{NOTE}")
        sys.exit(0 if argv[:1] in ([], ["--help"], ["-h"]) else 2)
    run(argv[0], argv[1:])
