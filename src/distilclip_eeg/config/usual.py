"""Names that mean the same wherever they stand: arguments of networks, and the units of numbers."""

ARGUMENTS = {
    "bands": "true: the graph of each clinical band of its own instead of one.",
    "bins": "Frequencies of a node's features, one a hertz from 1 Hz on.",
    "depth": "Layers of the kind that the network repeats.",
    "dim": "Width of the features inside the network; a multiple of heads, where there are any.",
    "dropout": "Share of values set to zero while training.",
    "embed": "Width of the space that EEG and text share, and of the features.",
    "encoder_dropout": "The same inside the transformer.",
    "ffn": "Width of the feed-forward layers.",
    "ffn_mult": "Feed-forward layers are this many times as wide as dim.",
    "filters": "Filters of the first convolution; a list: of each convolution.",
    "frame_s": "Length of a spectrogram's frame.",
    "heads": "Attention heads; they share dim out among themselves.",
    "hidden": "Width of the layer before the class logits.",
    "hidden_dropout": "The same in the layer before the class logits.",
    "high_hz": "Highest frequency of the spectrogram.",
    "kernel_s": "Length of the first convolution's kernel.",
    "kernels_s": "Length of the kernel of each branch.",
    "maps": "Spatial filters of each temporal one.",
    "members": "Networks that answer with the mean of their logits; each trains on a part of a batch.",
    "n_prompts": "Learned prompts a layer.",
    "neighbours": "Electrodes that each one is joined to, those that correlate most.",
    "offline": "true: nothing is fetched from the hub; null: BERT-base is, once; false: any encoder is.",
    "points": "Values of a token after the last pooling; a multiple of heads.",
    "pool": "Feature of a text: cls (its first token) or mean.",
    "pool_s": "Length of the pool behind the first convolution.",
    "prompt_dropout": "Share of prompts left out while training.",
    "prompt_init": "How prompts begin: normal or xavier.",
    "prompt_layers": "Layers that have prompts, from the first; null: all.",
    "prompts": "deep (fresh in every layer), shallow (before the first), prefix (keys and values) or none.",
    "shared": "true: all channels have one and the same network.",
    "size": "Rows and columns of the image of a channel.",
    "slice_s": "Length of a slice, whose samples are a node's features.",
    "slot_s": "Length of a step in time.",
    "stride_s": "From one step of the first convolution to the next.",
    "tau": "Temperature at which edges of the graph are drawn.",
    "train": "Of a pretrained text encoder: full, prompts+norms or prompts.",
    "width": "Width of the recurrent layers.",
}
"""Of networks and text encoders, whose own docstrings come first."""
UNITS = {"_s": "s", "_hz": "Hz", "_uv": "µV", "_freq": "Hz", "sfreq": "Hz", "minutes": "min", "hours": "h"}
"""By how a name ends."""


def unit_of(name: str, kind: str) -> str:
    """The unit of a number; empty where it has none, or its meaning says it."""
    if not any(word in kind for word in ("int", "float")):
        return ""
    return next((unit for end, unit in UNITS.items() if name.rpartition(".")[2].endswith(end)), "")
