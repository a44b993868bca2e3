"""The same work on many items: threads, local processes, or a SLURM cluster through submitit."""

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import active_children, current_process
from pathlib import Path
from typing import Any

import joblib
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.process_executor import BrokenProcessPool

from distilclip_eeg import endings
from distilclip_eeg.schema import ConfigError, MachineError, UserError, check_choice

CLUSTERS = ("slurm", "local", "debug")
"""Queues by submitit's names: ``local`` and ``debug`` are processes, and calls, of this machine."""

MINUTES, CORES = 24 * 60, 4
"""Of a job on a cluster, unless its settings say otherwise."""

LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where Linux says what memory a container may use."""

LAST_WORDS_S = 30.0
"""Jobs of a queue that is left have so long to save what they did."""


@dataclass
class _Crew:
    """Who is at work, shared by threads; another process has its own."""

    stopped: bool = False
    busy: set[int] = field(default_factory=set)


def memory_here() -> int:
    """Bytes of memory that this machine has, or that its container may use."""
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in LIMITS:
        with contextlib.suppress(OSError, ValueError):  # no such group, or "max"
            limit = min(limit, int(Path(path).read_text()))
    return limit


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


@dataclass(frozen=True)
class Failed:
    """Instead of a result: what kept an item from one."""

    item: str
    """The first of its arguments, in words."""
    error: Exception

    def __str__(self) -> str:
        return f"{self.item}: {str(self.error).partition(chr(10))[0]}"


def spread(
    work: Callable[..., Any],
    items: Sequence[tuple[Any, ...]],
    *,
    jobs: int,
    cluster: str | None,
    name: str,
    logs: Path,
    slurm: Mapping[str, int | str] | None = None,
    log_of: Callable[..., Path] | None = None,
) -> Iterator[Any]:
    """``work(*item)`` of every item, each result as soon as it is there, in any order.

    An item that cannot be done, or whose process or job is lost, gives a ``Failed``; the others go on.

    Args:
        work: a function of a module, so that another process can import it.
        jobs: items at a time.
        cluster: one of ``CLUSTERS``; None for joblib's processes on this machine.
        name: of the cluster's jobs.
        logs: folder of submitit's own files.
        slurm: sbatch's settings, as submitit names them.
        log_of: ``log_of(*item)``: the file that gets what an item prints, and the traceback of a bug, which
            then does not stop the others either.

    Raises:
        ConfigError: there is no such queue here, or it refuses its settings.
    """
    calls = [(work, item, log_of(*item) if log_of else None) for item in items]
    if cluster is None:
        yield from here(calls, jobs)
        return
    executor = queue(cluster, jobs, name, logs, slurm or {})
    with executor.batch():
        submitted = [executor.submit(_Queued(), *call) for call in calls]
    from submitit.helpers import as_completed

    try:
        for job in as_completed(submitted, poll_frequency=1):
            lost = job.exception()
            first = items[submitted.index(job)][0]
            yield job.result() if lost is None else Failed(str(first), MachineError(_first_line(lost)))
    except BaseException:
        call_off(submitted)
        raise


def attempted(work: Callable[..., Any], item: tuple[Any, ...], log: Path | None = None) -> Any:
    """``work(*item)``, or the ``Failed`` that stands for it."""
    with contextlib.ExitStack() as stack:
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            stream = stack.enter_context(log.open("a", encoding="utf-8"))
            stack.enter_context(contextlib.redirect_stdout(stream))
        try:
            return work(*item)
        except UserError as problem:
            return Failed(str(item[0]), problem)
        except Exception as error:
            if endings.memory_used_up(error):
                said = f"out of memory ({_first_line(error)}). Lower jobs, or what each of them needs."
                return Failed(str(item[0]), MachineError(said, reason="out_of_memory"))
            if log is None:
                raise
            traceback.print_exc(file=sys.stdout)
            said = f"{type(error).__name__}: {_first_line(error)} (traceback in {log})"
            return Failed(str(item[0]), RuntimeError(said))


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]


def here(calls: Sequence[tuple[Any, ...]], jobs: int) -> Iterator[Any]:
    """``spread`` on this machine; a signal is passed on to the processes, which end as they would alone.

    Raises:
        Stop: once all of them have.
        MachineError: ``lost_process``: the system ended one.
    """
    if jobs == 1:
        for call in calls:
            yield attempted(*call)
        return
    run = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
    with endings.unbroken(), endings.telling(active_children):
        try:
            for result in run(joblib.delayed(_listening)(*call) for call in calls):
                if not isinstance(result, _Stopped):
                    yield result
        except BrokenProcessPool as error:
            endings.stop_if_asked()
            raise MachineError(
                f"one of jobs={jobs} processes was ended from outside, as by a system that is out of memory. "
                "Lower jobs; the same command continues where they ended.",
                reason="lost_process",
            ) from error
        finally:  # idle ones would hold their memory, and this process at its end, for five minutes
            get_reusable_executor(reuse=True).shutdown(wait=True)


class _Stopped:
    """Instead of a result, of an item that a signal ended or kept from beginning."""

    over = False
    """Whether this process has heard one."""


def _listening(work: Callable[..., Any], item: tuple[Any, ...], log: Path | None) -> Any:
    """An item in a process of its own."""
    if _Stopped.over:
        return _Stopped()
    try:
        with endings.listening(silent=True):
            take_gpu()
            return attempted(work, item, log)
    except KeyboardInterrupt:
        _Stopped.over = True
        return _Stopped()


def take_gpu() -> None:
    """Of several GPUs leave this process of a pool one, the next for each, before CUDA has started in it."""
    import torch

    n_gpus = torch.cuda.device_count()  # counted by the driver's library: CUDA is not started
    if n_gpus < 2 or torch.cuda.is_initialized():
        return
    names = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    number = current_process()._identity[-1] - 1
    os.environ["CUDA_VISIBLE_DEVICES"] = (names or [str(k) for k in range(n_gpus)])[number % n_gpus]


class _Queued:
    """An item as a queue's job, which submitit starts again where the queue took its machine away.

    The signal before that (USR2 by submitit's default) and SIGTERM end the work between two steps, what is
    done being saved, before the queue is asked for another turn.
    """

    def __call__(self, work: Callable[..., Any], item: tuple[Any, ...], log: Path | None) -> Any:
        """The item's result, or its ``Failed``.

        Raises:
            SystemExit: a signal ended it.
        """
        turns = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGUSR2)}
        again = {number: handler for number, handler in turns.items() if callable(handler)}
        try:
            with endings.listening(also=tuple(again)):
                return attempted(work, item, log)
        except endings.Stop as stop:
            handler = again.get(signal.Signals(stop.signum))
            if handler is not None:
                handler(stop.signum, None)
            raise SystemExit(stop.code) from None

    def checkpoint(self, *call: Any) -> Any:
        """What submitit starts the next time: the same, since the work finds its own checkpoint."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, *call)


def call_off(submitted: Sequence[Any]) -> None:
    """Cancel the jobs that are not done, and wait a moment for their end."""
    left = [job for job in submitted if not job.done()]
    for job in left:
        job.cancel(check=False)
    until = time.monotonic() + LAST_WORDS_S
    while time.monotonic() < until and not all(job.done() for job in left):
        time.sleep(0.2)


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
