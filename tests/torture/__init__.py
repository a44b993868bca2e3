"""The long trial: processes ended, files damaged, input mutated, folders crafted, for an hour or less.

    python -m tests.torture seed=0 minutes=60 results=results/torture.txt

It measures, it does not pass or fail. Each part prints a row; the last output is one table with date and
commit. ``parts=damage,headers`` chooses; a few cases of each part are ordinary tests (tests/test_torture.py).
"""
