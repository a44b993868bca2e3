# %% [markdown]
# # Comparing runs
#
# Which of two models is better, for whom, and how sure is that? Every number here comes from saved
# predictions: no model is loaded once the runs are there.
#
# Open this file in Jupyter or VS Code, or run `python notebooks/compare_runs.py`.
#
# **Research software, not a medical device:** not for diagnosis, monitoring or treatment.

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import roc_curve

from distilclip_eeg.config.compose import load
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.report import subjects
from distilclip_eeg.report.tables import run_table
from distilclip_eeg.scoring.answers import Reading, fold_metrics, read_answers
from distilclip_eeg.training import pipeline

# %% [markdown]
# ## The runs
#
# Two floors, under the article's protocol and the honest one, on one recording a person and three folds,
# so that it takes a minute; an empty list is the whole invented corpus and five folds. A run that is there
# already is found and not trained again; name your own models instead, or open finished runs by
# `Run(Path("runs/…"))`.

# %% tags=["parameters"]
overrides = ["dataset.corpus.recordings_per_subject=1", "split.n_folds=3"]
models = ["logreg_bandpower", "random_forest"]
splits = ["window", "subject"]

# %%
runs = {}
for split in splits:
    for model in models:
        [settings] = load(TrainSettings, [*overrides, f"split={split}", f"model={model}"]).each_seed()
        runs[split, model] = pipeline.training(settings, report=False).train()

# %% [markdown]
# ## The table
#
# What each protocol lets through stands above the figures. The row of the model that always answers
# "seizure" is there because an accuracy means nothing without it.

# %%
print(run_table(list(runs.values())))

# %% [markdown]
# ## The optimism gap
#
# The same model, the same windows; only the way they are dealt into training and test differs. What
# is lost from `window` to `subject` was never there for a new patient.

# %%
for model in models:
    auroc = [fold_metrics(runs[split, model])["auroc"].mean() for split in splits]
    print(f"{model}: AUROC {auroc[0]:.3f} by {splits[0]}, {auroc[1]:.3f} by {splits[1]}")

# %% [markdown]
# ## How sure
#
# Windows of one person resemble each other, so the interval is a bootstrap over persons, and two
# models are compared by swapping them within persons. With twelve persons such intervals are wide,
# and that is the point of showing them.

# %%
print("\n".join(subjects.page([runs[splits[1], model] for model in models])))

# %% [markdown]
# ## For whom
#
# On the left one dot a person: a mean hides that a model may fail on one of them. On the right ROC
# curves of all test windows together, under both protocols.

# %%
rows = subjects.subject_rows([runs[splits[1], model] for model in models])
names = sorted(rows["subject"].unique())
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
for k, model in enumerate(models):
    of_model = rows[rows["model"] == model].set_index("subject").loc[names]
    left.plot(100 * of_model["accuracy"], np.arange(len(names)) + 0.15 * k, "os"[k % 2], label=model)
left.set_yticks(np.arange(len(names)), names)
left.set_xlabel("accuracy on the person's windows, %")
left.set_title(f"split={splits[1]}")
left.legend()

for (split, model), run in runs.items():
    answers = [read_answers(run, fold, Reading()) for fold in run.folds_done()]
    label = np.concatenate([said.label for said in answers]) > 0
    score = np.concatenate([1 - said.probability_NK[:, 0] for said in answers])
    false_alarms, hits, _ = roc_curve(label, score)
    style = f"C{models.index(model)}{'--' if split == splits[0] else '-'}"
    right.plot(100 * false_alarms, 100 * hits, style, label=f"{model}, {split}")
right.set_xlabel("background windows called seizure, %")
right.set_ylabel("seizure windows found, %")
right.legend(fontsize=8)
plt.show()
