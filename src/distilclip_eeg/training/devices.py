"""Where work is done: device, precision, and the group of processes that were started together."""

import atexit
import os
from datetime import timedelta

import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import InitProcessGroupKwargs

from distilclip_eeg.schema import ConfigError, check_choice
from distilclip_eeg.training import processes

MIXED = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}
PATIENCE = timedelta(days=2)
"""Processes of one job wait so long for each other: the first one may have a store to build."""


def make_accelerator(precision: str, device: str) -> Accelerator:
    """Device and mixed precision, and the group of processes where several were started together.

    Raises:
        ConfigError: the device cannot do it, or a machine has fewer GPUs than processes.
    """
    check_choice("device", device, ("auto", "cpu", "cuda"))
    cuda = torch.cuda.is_available() and device != "cpu"
    if device == "cuda" and not cuda:
        raise ConfigError(
            "device=cuda, but torch finds no CUDA GPU. Use device=auto or device=cpu.", mend="device=auto"
        )
    if precision == "fp16" and not cuda:
        raise ConfigError(
            "trainer.precision=fp16 needs a CUDA GPU and none is in use; use bf16 or fp32.",
            mend="trainer.precision=bf16",
        )
    AcceleratorState._reset_state(reset_partial_state=True)  # else a process keeps its first precision
    if cuda and (here := int(os.environ.get("LOCAL_WORLD_SIZE", 1))) > torch.cuda.device_count():
        raise ConfigError(
            f"{here} processes, but {torch.cuda.device_count()} GPUs on this machine. Start one process a "
            "GPU, or set device=cpu."
        )
    begun = dist.is_available() and dist.is_initialized()
    accelerator = Accelerator(
        mixed_precision=MIXED[precision],
        cpu=not cuda,
        kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
    )
    if processes.several() and not begun:
        atexit.register(dist.destroy_process_group)
    return accelerator
