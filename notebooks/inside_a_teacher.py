# %% [markdown]
# # Looking inside a teacher
#
# How a trained teacher arranges windows of EEG, which sentences lie near them, how far apart its texts
# are, and what became of its learned prompts.
#
# Open this file in Jupyter or VS Code, or run `python notebooks/inside_a_teacher.py`.
#
# **Research software, not a medical device:** not for diagnosis, monitoring or treatment.

# %%
import io

import matplotlib.pyplot as plt
import numpy as np
import torch

from distilclip_eeg.config.compose import load
from distilclip_eeg.config.data import HERE
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.explain.run import Ask, explain
from distilclip_eeg.files.reading import read_json
from distilclip_eeg.report.explained import embedding_map
from distilclip_eeg.training import pipeline
from distilclip_eeg.training.data import reopen
from distilclip_eeg.training.pipeline import frozen_teacher

# %% [markdown]
# ## The teacher
#
# One fold is enough to look into, and here it ends after 150 steps; without `trainer.max_steps` it is
# trained whole. A run that is there already is found and not trained again.

# %% tags=["parameters"]
overrides = ["trainer.max_steps=150"]

# %%
[settings] = load(TrainSettings, [*overrides, "fold=0"]).each_seed()
run = pipeline.training(settings, report=False).train()
folder = explain(run, Ask(fold=0, windows=200))
note = run.data["leak_note"]

# %% [markdown]
# ## A map of its EEG features
#
# Test windows by the first two principal components. On the left by class, on the right by person:
# where points group by person, a split by window lets a model lean on who it is.

# %%
with np.load(folder / "embedding.npz") as saved:
    shown = embedding_map(dict(saved), "map", note)
print(shown.alt)
plt.figure(figsize=(10, 5), layout="constrained")
plt.imshow(plt.imread(io.BytesIO(shown.png)))
plt.axis("off")
plt.show()

# %% [markdown]
# ## Windows and the sentences near them
#
# The description is computed from the window's own signal; the neighbours are the descriptions of
# other test windows, by cosine between EEG and text features. No label takes part in either.

# %%
examples = read_json(folder / "examples.json")
for window in examples["windows"][:4]:
    print(f"{window['true']}, answered {window['predicted']}: {window['text']}")
    for near in window["nearest"]:
        print(f"    {near['similarity']:+.2f}  {near['text']}")

# %% [markdown]
# ## How far apart its texts are
#
# Cosines between the sentences that describe this corpus, on a scale of their own: 1 is one and the
# same. Two sentences that the text encoder holds for one and the same cannot teach different things, and
# after few steps it holds nearly all of them so.

# %%
_, data = reopen(run, HERE)
model, bank = frozen_teacher(run, 0, data)
with torch.no_grad():
    text_UE = model.encode_text(bank.input_ids, bank.attention_mask).numpy()
text_UE = text_UE / np.linalg.norm(text_UE, axis=1, keepdims=True)
cosine_UU = text_UE @ text_UE.T
apart = cosine_UU[~np.eye(len(cosine_UU), dtype=bool)]
print(
    f"cosine of two sentences: {apart.min():.4f} to {apart.max():.4f}, {np.median(apart):.4f} in the middle"
)
figure, axes = plt.subplots(figsize=(9, 6), layout="constrained")
image = axes.imshow(cosine_UU, cmap="cividis", vmin=apart.min(), vmax=1)
axes.set_yticks(np.arange(len(text_UE)), bank.sentences, fontsize=9)
axes.set_xticks([])
figure.colorbar(image, ax=axes, label="cosine")
plt.show()

# %% [markdown]
# ## Learned prompts
#
# Mean length of the prompt tokens of each layer, beside the length with which they started
# (normal, SD 0.02). What stayed where it began was not needed, or had no time.

# %%
sides = {"EEG": model.eeg, "text": model.text}
for name, side in sides.items():
    if side.prompts is None:
        print(f"{name}: no prompts")
        continue
    values = side.prompts.values.detach()
    length = values.norm(dim=-1).flatten(1).mean(dim=1).numpy()
    start = 0.02 * np.sqrt(values.shape[-1])
    print(
        f"{name}: {', '.join(f'layer {k + 1} {v:.2f}' for k, v in enumerate(length))}; began at {start:.2f}"
    )
