"""Writes that move no version show in a sample of the numbers, however wide a tensor is."""

import pytest
import torch

from rnnwidget.recording.handed_out import HandedOut


@pytest.mark.parametrize("steps", [1, 512, 4000, 4096])
@pytest.mark.parametrize("batch", [1, 3, 8])
@pytest.mark.parametrize("units", [1, 15, 32, 33, 65])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_unit_written_at_every_step_shows(steps: int, batch: int, units: int, dtype: torch.dtype) -> None:
    handed_out = HandedOut()
    with handed_out.unchanged() as known:
        known["gate"] = torch.rand(steps, batch, units, dtype=dtype)
    with handed_out.unchanged() as known:
        assert "gate" in known
        gate = known["gate"]
    gate.numpy()[:, :, units // 2] = 0
    with handed_out.unchanged() as known:
        assert not known
