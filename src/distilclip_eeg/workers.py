"""The same work on many items: threads, local processes, or a SLURM cluster through submitit."""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import joblib

from distilclip_eeg import endings
from distilclip_eeg.schema import ConfigError, check_choice

CLUSTERS = ("slurm", "local", "debug")
"""Queues by submitit's names: ``local`` and ``debug`` are processes, and calls, of this machine."""

MINUTES, CORES = 24 * 60, 4
"""Of a job on a cluster, unless its settings say otherwise."""


@dataclass
class _Crew:
    """Who is at work, shared by threads; another process has its own."""

    stopped: bool = False
    busy: set[int] = field(default_factory=set)


def threaded(work: Callable[..., Any], items: Iterable[tuple[Any, ...]], *, jobs: int) -> Generator[Any]:
    """``work(*item)`` of every item in order, by threads or what ``joblib.parallel_config`` chooses instead.

    However it ends, no thread is at work any more then: an interpreter that exits while native code of a
    thread runs is aborted (exit code 134), whatever the error was.

    Args:
        work: a function of a module, so that another process can import it.
        items: arguments of each call.
        jobs: threads; -1: one a core.
    """
    crew = _Crew()
    results = joblib.Parallel(n_jobs=jobs, prefer="threads", return_as="generator")(
        joblib.delayed(_attempt)(crew, work, item) for item in items
    )
    try:
        for value, error in results:
            if error is not None:
                raise error
            yield value
    finally:
        crew.stopped = True
        for _ in results:  # what was handed out already comes back at once
            pass
        while crew.busy:
            time.sleep(0.01)


@contextmanager
def instead_of_threads(backend: str | None, jobs: int, scheduler: str | None = None) -> Iterator[None]:
    """Inside, :func:`threaded` hands its work to a backend of joblib's, such as a cluster of Dask.

    Args:
        backend: its name; None: threads stay.
        jobs: items at a time; -1: as many as its workers take.
        scheduler: of Dask, ``tcp://HOST:8786``; None: that of the client which is open already.

    Raises:
        ConfigError: there is no such backend here, or nobody at the scheduler.
    """
    if backend is None:
        yield
        return
    where = {"scheduler_host": scheduler} if scheduler else {}
    try:
        config = joblib.parallel_config(backend, n_jobs=jobs, **where)
    except (ImportError, ValueError, TypeError, OSError) as error:
        said = " ".join(str(error).split())[:150]
        raise ConfigError(
            f"backend={backend}, scheduler={scheduler}: {said}. For Dask: pip install "
            "'distilclip-eeg[dask]', start its scheduler and workers, and give scheduler=tcp://HOST:8786; "
            "or leave backend out."
        ) from None
    with config:
        yield


def _attempt(
    crew: _Crew, work: Callable[..., Any], item: tuple[Any, ...]
) -> tuple[Any, BaseException | None]:
    """One call; an error is a result, so that it meets the caller's thread and no other."""
    if crew.stopped:
        return None, None
    crew.busy.add(me := threading.get_ident())
    try:
        return work(*item), None
    except BaseException as error:  # the caller raises it
        return None, error
    finally:
        crew.busy.discard(me)


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
        yield from here(work, items, jobs)
        return
    executor = queue(cluster, jobs, name, logs, slurm or {})
    with executor.batch():
        submitted = [executor.submit(work, *item) for item in items]
    from submitit.helpers import as_completed

    for job in as_completed(submitted, poll_frequency=1):
        lost = job.exception()
        first = items[submitted.index(job)][0]
        yield job.result() if lost is None else f"{first}: {str(lost).partition(chr(10))[0]}"


def here(work: Callable[..., Any], items: Sequence[tuple[Any, ...]], jobs: int) -> Iterator[Any]:
    """``spread`` on this machine; a signal is passed on to the processes, which end as they would alone.

    Raises:
        Stop: once all of them have.
    """
    run = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
    if jobs == 1:
        yield from run(joblib.delayed(work)(*item) for item in items)
        return
    with endings.unbroken(), endings.telling(active_children):
        for result in run(joblib.delayed(_listening)(work, item) for item in items):
            if not isinstance(result, _Stopped):
                yield result


class _Stopped:
    """Instead of a result, of an item that a signal ended or kept from beginning."""

    over = False
    """Whether this process has heard one."""


def _listening(work: Callable[..., Any], item: tuple[Any, ...]) -> Any:
    """An item in a process of its own."""
    if _Stopped.over:
        return _Stopped()
    try:
        with endings.listening():
            return work(*item)
    except KeyboardInterrupt:
        _Stopped.over = True
        return _Stopped()


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
