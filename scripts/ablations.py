"""Table II and its neighbours: what text, prompts, targets and distillation are worth, in one table.

    python scripts/ablations.py dataset=chbmit dataset.root=FOLDER model=teacher_small split=window,subject \
        seed=0,1,2 trainer.max_steps=200 fold=[0,1] jobs=2

what=table2,targets,text,student or all; split and seed one or several; ablation_reading=placement|unimodal;
jobs=N local processes, or cluster=slurm (extra `sweep`); name=N results/N.csv. Every other word is
train.py's. A second start continues, and cells that stand in the CSV are not run again.
"""

import sys

from distilclip_eeg.schema import UserError
from distilclip_eeg.studies.ablations import study

if __name__ == "__main__":
    if {"--help", "-h"} & set(sys.argv[1:]):
        sys.exit(print(__doc__))
    try:
        study(sys.argv[1:])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit("stopped; the same command continues where this one ended")
