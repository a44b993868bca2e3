"""The optimism gap: the same models under every protocol that the corpus allows, in one table.

    python scripts/gap.py dataset=chbmit dataset.root=FOLDER models=teacher_small,random_forest jobs=2

models= one or several with commas (a teacher brings its student); split=all, or some of window, event,
recording, time, subject, leave_one_subject_out, official; jobs=N local processes, or cluster=slurm (extra
`sweep`); name=N results/N.csv. Every other word is train.py's. Cells that stand in the CSV are not run again.
"""

import sys

from distilclip_eeg.schema import UserError
from distilclip_eeg.studies.gap import measure

if __name__ == "__main__":
    if {"--help", "-h"} & set(sys.argv[1:]):
        sys.exit(print(__doc__))
    try:
        measure(sys.argv[1:])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit("stopped; the same command continues where this one ended")
