# %% [markdown]
# # Explaining a detection
#
# From one file to events, and from an event to the channels that made it one: the whole road of
# `scripts/export.py`, `scripts/detect.py` and `scripts/explain.py` on a recording of a person whom the
# model never saw.
#
# Open this file in Jupyter or VS Code, or run `python notebooks/explain_a_detection.py`.
#
# **Research software, not a medical device:** not for diagnosis, monitoring or treatment.

# %%
import io
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch

from distilclip_eeg.artefact.folder import load_folder
from distilclip_eeg.config.compose import load
from distilclip_eeg.config.data import HERE
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.deploy.blocks import EdfSource
from distilclip_eeg.deploy.detector import Detector
from distilclip_eeg.deploy.engines import open_network
from distilclip_eeg.deploy.export import export
from distilclip_eeg.deploy.networks import DistilCLIPEEG
from distilclip_eeg.deploy.writers import figure_png
from distilclip_eeg.explain.maps import channel_map
from distilclip_eeg.training import pipeline
from distilclip_eeg.training.data import reopen

# %% [markdown]
# ## A model in a folder
#
# The network of one fold: it knows the persons of its training part alone, and the file below
# belongs to its test part. Here it ends after 150 steps; without `trainer.max_steps` it is trained whole.
# Exported, it needs nothing of the run any more.

# %% tags=["parameters"]
overrides = ["trainer.max_steps=150"]
onnx = False

# %%
[settings] = load(TrainSettings, [*overrides, "fold=0"]).each_seed()
run = pipeline.training(settings, report=False).train()
model = load_folder(export(run, 0, run.path / "fold0_export", onnx=onnx).path)
print(
    f"{model.about['model']['name']}, {len(model.recipe.ch_names)} channels, events from a probability of "
    f"{model.recipe.detect.threshold:.2f}"
)

# %% [markdown]
# ## One recording of the test part

# %%
settings, data = reopen(run, HERE)
tested = data.windows[data.windows["fold0"] == "test"]
name = tested[tested["label"] > 0]["recording_name"].iloc[0]
root = Path(settings.dataset.root)
(path,) = [p for p in sorted(root.rglob("*.edf")) if p.stem == Path(name).stem][:1]
detector = Detector(model.recipe, open_network(model))
found = detector.file(path)
number = tested[tested["recording_name"] == name]["recording"].iloc[0]
truth = data.store.events[data.store.events["recording"] == number][["onset_s", "offset_s"]]
print("annotated\n", truth.to_string(index=False))
print("found\n", pd.DataFrame(found.track.events_E2, columns=["onset_s", "offset_s"]).to_string(index=False))

# %% [markdown]
# Probability over the whole file with its events, and the EEG where it is highest.

# %%
plt.figure(figsize=(11, 8), layout="constrained")
plt.imshow(plt.imread(io.BytesIO(figure_png(found, name))))
plt.axis("off")
plt.show()

# %% [markdown]
# ## Which channels
#
# The most probable window, twice: what changes in the answer when a channel is silenced (occlusion),
# and the network's own map at its temporal convolution (hires). Where the two disagree, trust neither.
# A map says where the model looks, not where a seizure begins.

# %%
blocks, _ = detector.open(EdfSource(path))
start_s, eeg_BCT = (np.concatenate(parts) for parts in zip(*detector.batches(blocks), strict=True))
best = int(found.trace.probability_N.argmax())
# The network as it was trained: for detection its layers are merged.
network = DistilCLIPEEG.from_folder(model, text=False).net
window = torch.from_numpy(eeg_BCT[best : best + 1])
target = torch.tensor([1])
maps = {m: channel_map(network, window, target, m)[0].detach().numpy() for m in ("hires", "occlusion")}
figure, axes = plt.subplots(figsize=(9, 4), layout="constrained")
for shift, (method, value_C) in zip((-0.2, 0.2), maps.items(), strict=True):
    axes.bar(np.arange(len(value_C)) + shift, value_C / np.abs(value_C).max(), width=0.4, label=method)
axes.set_xticks(np.arange(len(model.recipe.ch_names)), model.recipe.ch_names, rotation=90)
axes.set_ylabel("relevance, 1: the strongest channel")
axes.set_title(f"window at {start_s[best]:g} s, probability {found.trace.probability_N[best]:.2f}")
axes.legend()
plt.show()
