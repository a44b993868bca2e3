"""The trials of one search, in a folder that any number of processes may work on at once.

They lie in optuna's journal, a file to which lines are only added. Who takes a trial, and whether there are
enough, is settled under a lock; whoever runs a trial holds a lock of its own until it is finished. The kernel
frees the locks of a process that dies, so the next process sees which trials were left and takes them over.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
from filelock import FileLock, Timeout
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from distilclip_eeg.files.digests import write_atomic
from distilclip_eeg.files.writing import csv_bytes
from distilclip_eeg.studies.tuning.space import Chosen, Space, combinations, n_combinations

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


class Study:
    """A search's trials as this process sees and adds to them.

    Args:
        folder: of the search; the journal, ``trials.csv`` and the locks go here.
        held: settings of the space that are fixed in the trials this process adds.
        trials: how many to finish, of those with ``held``; fewer where there are not so many settings.
        startup: trials drawn at random, and finished before any other is pruned.
    """

    def __init__(
        self, folder: Path, space: Space, *, held: Chosen, trials: int, startup: int, pruner: str, seed: int
    ):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        (folder / "locks").mkdir(parents=True, exist_ok=True)
        self.folder, self.space, self.held, self.startup, self.seed = folder, space, held, startup, seed
        self.wanted = min(trials, n_combinations(space, held))
        self.lock = FileLock(folder / "locks" / "study")
        self.running: FileLock | None = None
        journal = JournalFileBackend(
            str(folder / "trials.journal"),
            lock_obj=FileLock(folder / "locks" / "journal"),  # type: ignore[arg-type]  # acquire and release are all
        )
        with self.lock:
            self.optuna = optuna.create_study(
                study_name=folder.name,
                storage=JournalStorage(journal),
                direction="maximize",
                load_if_exists=True,
                pruner=optuna.pruners.MedianPruner(n_startup_trials=startup)
                if pruner == "median"
                else optuna.pruners.NopPruner(),
            )

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """Those in any of these states."""
        return self.optuna.get_trials(deepcopy=False, states=states)

    def next(self) -> Trial | None:
        """A trial for this process to run: one that a killed process left, else a new one; None: enough."""
        with self.lock:
            self.release_left()
            taken = [t.params for t in self.trials(TrialState.RUNNING, *FINISHED)]
            mine = [p for p in taken if all(p[k] == v for k, v in self.held.items())]
            if len(mine) >= self.wanted:
                return None
            trial = self.ask(taken)
            self.running = self.trial_lock(trial.number)
            self.running.acquire(timeout=0)
            return trial

    def release_left(self) -> None:
        """Queue the settings of running trials that no living process holds."""
        for left in self.trials(TrialState.RUNNING):
            try:
                with self.trial_lock(left.number).acquire(timeout=0):
                    self.optuna.tell(left.number, state=TrialState.FAIL)
                    if set(left.params) == set(self.space):
                        self.optuna.enqueue_trial(left.params)
            except Timeout:
                pass

    def ask(self, taken: Sequence[Chosen]) -> Trial:
        """A queued trial or a new one, never with settings already ``taken``.

        The sampler starts anew from (seed, number of trials), so a search that was stopped and started again
        draws what it would have drawn.
        """
        draw = [self.seed, len(taken)]
        seed = int(np.random.default_rng(draw).integers(2**31))
        self.optuna.sampler = optuna.samplers.TPESampler(n_startup_trials=self.startup, seed=seed)
        if self.held and not self.trials(TrialState.WAITING):
            self.optuna.enqueue_trial(self.held)
        trial = self.optuna.ask({**self.space})
        if trial.params in taken and n_combinations(self.space, self.held) < np.inf:
            self.optuna.tell(trial, state=TrialState.FAIL)
            left = [c for c in combinations(self.space, self.held) if c not in taken]
            self.optuna.enqueue_trial(left[np.random.default_rng(draw).integers(len(left))])
            trial = self.optuna.ask({**self.space})
        return trial

    def trial_lock(self, number: int) -> FileLock:
        """Held by whoever runs the trial."""
        return FileLock(self.folder / "locks" / f"trial-{number}")

    def finish(self, trial: Trial, value: float | None, **notes: object) -> None:
        """Record a trial with its validation score, or as pruned where there is none."""
        for name, note in notes.items():
            trial.set_user_attr(name, note)
        with self.lock:
            self.optuna.tell(trial, value, TrialState.PRUNED if value is None else TrialState.COMPLETE)
        self.save()
        if self.running:
            self.running.release()

    def save(self) -> None:
        """Write ``trials.csv``."""
        with self.lock:
            write_atomic(self.folder / "trials.csv", csv_bytes(self.table()))

    def table(self) -> pd.DataFrame:
        """Finished trials in the order they were begun; of a pruned one, the score it had when it stopped."""
        return pd.DataFrame(
            {
                "trial": t.number,
                "state": t.state.name.lower(),
                "val_macro_f1": t.value,
                **t.params,
                **t.user_attrs,
            }
            for t in self.trials(*FINISHED)
        )
