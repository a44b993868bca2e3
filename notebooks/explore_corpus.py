# %% [markdown]
# # Looking at a corpus
#
# What stands in the recordings before any model is trained: what was used and what was skipped, how
# many windows each person has, what each way of splitting lets through, how a seizure looks, and how
# windows are described.
#
# Every number comes from the same functions that `python train.py` calls. Open this file in Jupyter
# or VS Code, or run `python notebooks/explore_corpus.py`.
#
# **Research software, not a medical device:** not for diagnosis, monitoring or treatment.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from distilclip_eeg.config.compose import load
from distilclip_eeg.config.data import View, WindowConfig
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.signals.windows import cut
from distilclip_eeg.training.data import describe_data, load_data
from distilclip_eeg.training.descriptions import describe_fold
from distilclip_eeg.training.loaders import WindowSource

# %% [markdown]
# ## The corpus
#
# These are the settings you would type after `python train.py`. An empty list is the synthetic
# corpus: invented people, written to `data/` in the working folder on first use. For your own copy
# of CHB-MIT write `["dataset=chbmit", "dataset.root=FOLDER"]`.

# %% tags=["parameters"]
overrides = []

# %% [markdown]
# The first call filters every recording once and keeps the result in `store/`; later calls only open
# it. The data report counts whatever was skipped or odd. The same report stands in every run folder.

# %%
settings = load(TrainSettings, overrides)
data = load_data(settings.data)
print(describe_data(data))

# %% [markdown]
# ## Windows of each person
#
# A model sees windows of one second. Any window that touches a seizure counts as seizure. A person
# without seizures still adds background; a person with most of the seizures weighs most.

# %%
names = dict(enumerate(data.store.classes))
classes = data.windows["label"].map(names).rename("class")
print(pd.crosstab(data.windows["subject"], classes, margins=True).to_string())

# %% [markdown]
# ## What each split lets through
#
# Per cent of the test windows that share something with training: signal samples, the same seizure,
# the same recording, the same person. `window` is the article's protocol. Only `subject` says
# something about people whom the model never saw; it needs at least five of them.

# %%
shares = {
    name: load_data(load(TrainSettings, [*overrides, f"split={name}"]).data).audit
    for name in ("window", "recording", "subject")
}
print((100 * pd.DataFrame(shares)).round(1).to_string())

# %% [markdown]
# ## One seizure
#
# Microvolts as they lie in the store: filtered, not yet normalised. The shaded part is what the
# annotation calls a seizure.

# %%
store, seconds = data.store, 15.0
wide = WindowConfig(length_s=seconds, background_overlap=0.9, seizure_overlap=0.9)
stretches = cut(store.pieces, store.events, store.classes, store.sfreq, wide)
ictal = stretches[stretches["event"] >= 0]
seizure = store.events.loc[ictal["event"].iloc[0]]
of_seizure = ictal[ictal["event"] == ictal["event"].iloc[0]]
row = (of_seizure["start_s"] - (seizure["onset_s"] - 5)).abs().idxmin()  # about 5 s before the onset
source = WindowSource(store, stretches, View(round(seconds * store.sfreq)), "recording")
uv_CT = source.microvolts([row])[0]

spacing = 6 * uv_CT.std()
start = stretches["start_s"].loc[row]
figure, axes = plt.subplots(figsize=(11, 8), layout="constrained")
axes.axvspan(
    max(seizure["onset_s"] - start, 0), min(seizure["offset_s"] - start, seconds), color="tab:red", alpha=0.15
)
for k, channel in enumerate(uv_CT):
    axes.plot(np.arange(len(channel)) / store.sfreq, channel - k * spacing, color="black", lw=0.5)
axes.set_yticks([-k * spacing for k in range(len(uv_CT))], store.ch_names, fontsize=8)
axes.set_xlim(0, seconds)
axes.set_xlabel(f"seconds from {start:g} s of the recording")
axes.set_title(f"{seizure['label']} (shaded); channels stand {spacing:.0f} µV apart")
plt.show()

# %% [markdown]
# ## Descriptions
#
# What the text side reads. A description is computed from the window's own signal; the words' limits
# come from the training windows of the fold (here fold 0). No annotation enters it, so the table
# below is a finding and not a definition: a sentence that stands mostly beside one class tells
# something about that class.

# %%
sentences, _ = describe_fold(settings.text, data, 0)
described = pd.DataFrame({"description": sentences, "class": classes})
print(described.sample(5, random_state=0).to_string(index=False), "\n")
print(pd.crosstab(described["description"], described["class"]).to_string())
