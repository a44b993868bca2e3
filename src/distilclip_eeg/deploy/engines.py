"""Which engine answers an exported model: torch, or onnxruntime alone on a small device."""

import numpy as np

from distilclip_eeg.artefact.folder import AGAIN, CONFIG, Folder
from distilclip_eeg.artefact.recipe import Network
from distilclip_eeg.schema import ConfigError, DataError, check_choice

ENGINES, PRECISIONS = ("auto", "torch", "onnx"), ("auto", "fp32", "int8")


def open_network(folder: Folder, engine: str = "auto", precision: str = "auto") -> Network:
    """What answers windows with an exported model, and no more; weights cannot be changed in it.

    Args:
        engine: ``torch``, ``onnx`` (onnxruntime alone), or ``auto``: torch where it is installed.
        precision: of onnx, ``fp32`` or ``int8``; ``auto``: the one that its export found fit to be the
            default (``deploy.onnx``).

    Raises:
        ConfigError: what is asked for is not installed, or torch is asked for int8.
        DataError: the folder has no such file, or a damaged one.
    """
    check_choice("engine", engine, ENGINES)
    check_choice("precision", precision, PRECISIONS)
    if engine == "onnx" or precision == "int8" or (engine == "auto" and not has_torch()):
        if engine == "torch":
            raise ConfigError("engine=torch answers in fp32 alone. Set engine=onnx for precision=int8.")
        return open_onnx(folder, precision)
    if not has_torch():
        raise ConfigError("engine=torch: torch is not installed. Install it, or set engine=onnx.")
    from distilclip_eeg.deploy.networks import DistilCLIPEEG, TorchNetwork
    from distilclip_eeg.models.frozen import frozen

    return TorchNetwork(frozen(DistilCLIPEEG.from_folder(folder, text=False).net))


def open_onnx(folder: Folder, precision: str) -> "OnnxNetwork":
    """The network of its ONNX file of this precision, or of the default one.

    Raises:
        ConfigError: onnxruntime is not installed.
        DataError: ``no_onnx``, ``bad_onnx``, ``wrong_shape``, or the file is damaged.
    """
    key, value = ("default", True) if precision == "auto" else ("precision", precision)
    found = [named for named in folder.about["onnx"] if named[key] == value]
    if not found:
        there = ", ".join(named["precision"] for named in folder.about["onnx"]) or "no ONNX file"
        raise DataError(
            f"{folder.path}: asked for ONNX with precision={precision}, the folder has {there}. Export the "
            "model with onnx=true, or set engine=torch.",
            reason="no_onnx",
        )
    network, model = OnnxNetwork(folder.read(found[0]), folder.path / found[0]["file"]), folder.about["model"]
    if network.shapes != [[model["n_chans"], model["n_times"]], [model["n_outputs"]]]:
        raise DataError(
            f"{folder.path / found[0]['file']}: its inputs and outputs are {network.shapes}, not those of "
            f"{CONFIG}. {AGAIN}",
            reason="wrong_shape",
        )
    return network


class OnnxNetwork:
    """Logits by onnxruntime, on the CPU, without torch.

    Args:
        body: an ONNX file.
        where: what an error calls it.

    Raises:
        ConfigError: ``no_onnxruntime``.
        DataError: ``bad_onnx``.
    """

    def __init__(self, body: bytes, where: str):
        try:
            import onnxruntime
        except ImportError:
            raise ConfigError(
                "engine=onnx needs onnxruntime: pip install 'distilclip-eeg[export]', or set engine=torch.",
                reason="no_onnxruntime",
            ) from None
        try:
            self.session = onnxruntime.InferenceSession(body, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises classes of its own, without a common one
            raise DataError(
                f"{where}: onnxruntime cannot load it ({type(error).__name__}). {AGAIN}", reason="bad_onnx"
            ) from error

    @property
    def shapes(self) -> list[list]:
        """Of inputs and outputs, without the batch."""
        return [node.shape[1:] for node in (*self.session.get_inputs(), *self.session.get_outputs())]

    def logits(self, eeg_BCT: np.ndarray) -> np.ndarray:
        """Class logits (B, K) of normalised float32 windows (B, C, T)."""
        return self.session.run(None, {"eeg": np.ascontiguousarray(eeg_BCT, dtype=np.float32)})[0]


def has_torch() -> bool:
    """Whether torch is installed and can be imported."""
    try:
        import torch  # noqa: F401
    except ImportError:
        return False
    return True
