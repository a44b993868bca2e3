"""Baseline ``rnn``: a plain recurrent network over the samples of a window."""

from torch import Tensor, nn

from distilclip_eeg.config.registry import component
from distilclip_eeg.models.baselines.recurrent import Recurrent


@component("network", "rnn")
class RNN(nn.Module):
    """Two layers of an Elman network, then 64 units.

    After Statsenko et al., Automatic detection and classification of epileptic seizures from EEG data,
    Biomedicines 11 (2023) 2370, who vary how the EEG is recorded and feed a recurrent network. Known to
    us: title and abstract; layers and sizes are our construction. 60,872 parameters at 19 channels and 8
    classes.

    Shapes: B batch, C channels, T samples, K classes.
    """

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        sfreq: float,
        n_outputs: int,
        width: int = 128,
        depth: int = 2,
        hidden: int = 64,
        dropout: float = 0.3,
    ):
        super().__init__()
        self.net = Recurrent(
            cell="rnn",
            n_features=n_chans,
            n_outputs=n_outputs,
            width=width,
            depth=depth,
            hidden=hidden,
            dropout=dropout,
        )

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Class logits, (B, K)."""
        return self.net(eeg_BCT.transpose(1, 2))
