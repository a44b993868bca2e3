"""Table I of the article: all models under the same folds, ours beside the published figures.

    python scripts/reproduce_table1.py dataset=chbmit dataset.root=FOLDER split=window,subject models=all \
        ours=small jobs=2 trainer.max_steps=200 fold=[0,1,2]

models=all or names with commas; split one or several; ours=tiny|small|lean: size of teacher and student (a
teacher brings its student); jobs=N local processes; cluster=slurm (extra `sweep`) a queue instead, N cells
at once, slurm.partition=… slurm.gpus_per_node=… and sbatch's other settings; name=N results/N.csv.
Every other word is train.py's. A second start continues, and cells that stand in the CSV are not run again.
"""

import sys

from distilclip_eeg.schema import UserError
from distilclip_eeg.studies.table1 import reproduce

if __name__ == "__main__":
    if {"--help", "-h"} & set(sys.argv[1:]):
        sys.exit(print(__doc__))
    try:
        reproduce(sys.argv[1:])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit("stopped; the same command continues where this one ended")
