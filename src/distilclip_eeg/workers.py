"""The same work on many items: local processes, or a SLURM cluster through submitit."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import joblib

from distilclip_eeg.schema import ConfigError, check_choice

CLUSTERS = ("slurm", "local", "debug")
"""Queues by submitit's names: ``local`` and ``debug`` are processes, and calls, of this machine."""


def spread(
    work: Callable, items: Sequence[tuple], *, jobs: int, cluster: str | None, name: str, logs: Path
) -> Iterator:
    """``work(*item)`` of every item, each result as soon as it is there, in any order.

    Args:
        work: a function of a module, so that another process can import it.
        jobs: items at a time.
        cluster: one of ``CLUSTERS``; None for joblib's processes on this machine.
        name: of the cluster's jobs.
        logs: folder of submitit's own files.
    """
    if cluster is None:
        tasks = (joblib.delayed(work)(*item) for item in items)
        yield from joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(tasks)
        return
    check_choice("cluster", cluster, CLUSTERS)
    try:
        import submitit
    except ImportError:
        raise ConfigError(
            f"cluster={cluster} needs submitit: pip install 'distilclip-eeg[sweep]', or leave cluster out."
        ) from None
    executor = submitit.AutoExecutor(folder=logs / "submitit", cluster=cluster)
    executor.update_parameters(timeout_min=24 * 60, cpus_per_task=4, name=name, slurm_array_parallelism=jobs)
    with executor.batch():
        submitted = [executor.submit(work, *item) for item in items]
    for job in submitit.helpers.as_completed(submitted):
        yield job.result()
