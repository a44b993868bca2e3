"""How deep a command is above its loss."""

import traceback
from pathlib import Path

import pytest

import distilclip_eeg
from distilclip_eeg.commands import cli
from distilclip_eeg.models import losses
from distilclip_eeg.training import tasks

PACKAGE = Path(distilclip_eeg.__file__).parent
MOST = 7


class Reached(Exception):
    """Raised where the loss is computed."""


@pytest.mark.parametrize(
    "model, function",
    [
        ("teacher_tiny", "classification_loss"),
        ("teacher_tiny", "contrastive_loss"),
        ("eegnet", "classification_loss"),
    ],
)
def test_a_command_is_at_most_seven_frames_from_its_loss(model, function, tiny, tmp_path, monkeypatch):
    def stop(*args, **kwargs):
        raise Reached

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tasks, function, stop)
    words = [w for w in tiny if model != "eegnet" or not w.startswith(("model.", "text_encoder."))]
    with pytest.raises(Reached) as reached:
        cli.act("train", [*words, f"model={model}", "fold=0"])
    frames = [
        f
        for f in traceback.extract_tb(reached.value.__traceback__)
        if Path(f.filename).is_relative_to(PACKAGE)
    ]
    assert hasattr(losses, function)
    names = [f"{Path(f.filename).relative_to(PACKAGE)}:{f.name}" for f in frames]
    assert len(names) + 1 <= MOST, names  # the replaced function is the last frame
    assert names[0] == "commands/cli.py:act" and names[-1].startswith("training/tasks.py:")
