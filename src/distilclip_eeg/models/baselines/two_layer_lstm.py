"""Baseline ``two_layer_lstm``: two narrow LSTM layers over the samples of a window."""

from torch import Tensor, nn

from distilclip_eeg.config.registry import component
from distilclip_eeg.models.baselines.recurrent import Recurrent


@component("network", "two_layer_lstm")
class TwoLayerLSTM(nn.Module):
    """Two LSTM layers of 64, then 64 units.

    After Varnosfaderani, McNulty, Sarhan, Abood and Al-hawari, An efficient epilepsy prediction model on
    European dataset with model evaluation considering seizure types, IEEE JBHI (2024): seizure prediction
    on another corpus. Known to us: title and the name that the article's Table I gives it; sizes and the
    raw input are our construction. 59,720 parameters at 19 channels and 8 classes.

    Shapes: B batch, C channels, T samples, K classes.
    """

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        sfreq: float,
        n_outputs: int,
        width: int = 64,
        hidden: int = 64,
        dropout: float = 0.3,
    ):
        super().__init__()
        self.net = Recurrent(
            cell="lstm",
            n_features=n_chans,
            n_outputs=n_outputs,
            width=width,
            depth=2,
            hidden=hidden,
            dropout=dropout,
        )

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Class logits, (B, K)."""
        return self.net(eeg_BCT.transpose(1, 2))
