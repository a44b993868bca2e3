"""The same work on many items: local processes, or a SLURM cluster through submitit."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import joblib

from distilclip_eeg.schema import ConfigError, check_choice

CLUSTERS = ("slurm", "local", "debug")
"""Queues by submitit's names: ``local`` and ``debug`` are processes, and calls, of this machine."""

MINUTES, CORES = 24 * 60, 4
"""Of a job on a cluster, unless its settings say otherwise."""


def spread(
    work: Callable[..., Any],
    items: Sequence[tuple[Any, ...]],
    *,
    jobs: int,
    cluster: str | None,
    name: str,
    logs: Path,
    slurm: Mapping[str, int | str] | None = None,
) -> Iterator[Any]:
    """``work(*item)`` of every item, each result as soon as it is there, in any order.

    An item whose cluster job is lost (killed, out of memory or time) gives a line that says so.

    Args:
        work: a function of a module, so that another process can import it.
        jobs: items at a time.
        cluster: one of ``CLUSTERS``; None for joblib's processes on this machine.
        name: of the cluster's jobs.
        logs: folder of submitit's own files.
        slurm: sbatch's settings, as submitit names them.

    Raises:
        ConfigError: there is no such queue here, or it refuses its settings.
    """
    if cluster is None:
        tasks = (joblib.delayed(work)(*item) for item in items)
        yield from joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(tasks)
        return
    executor = queue(cluster, jobs, name, logs, slurm or {})
    with executor.batch():
        submitted = [executor.submit(work, *item) for item in items]
    from submitit.helpers import as_completed

    for job in as_completed(submitted, poll_frequency=1):
        lost = job.exception()
        first = items[submitted.index(job)][0]
        yield job.result() if lost is None else f"{first}: {str(lost).partition(chr(10))[0]}"


def queue(cluster: str, jobs: int, name: str, logs: Path, slurm: Mapping[str, int | str]) -> Any:
    """submitit's executor for at most ``jobs`` items at a time.

    Raises:
        ConfigError: submitit or the queue's own commands are missing, or a setting is unknown.
    """
    check_choice("cluster", cluster, CLUSTERS)
    try:
        import submitit
    except ImportError:
        raise ConfigError(
            f"cluster={cluster} needs submitit: pip install 'distilclip-eeg[sweep]', or leave cluster out."
        ) from None
    try:
        executor = submitit.AutoExecutor(folder=logs / "submitit", cluster=cluster)
        executor.update_parameters(
            name=name, timeout_min=MINUTES, cpus_per_task=CORES, slurm_array_parallelism=jobs
        )
        executor.update_parameters(**{f"slurm_{key}": value for key, value in slurm.items()})
    except (RuntimeError, ValueError, NameError) as error:
        raise ConfigError(f"cluster={cluster}: {str(error).partition(chr(10))[0]}") from None
    return executor
