"""Everything works where new tensors land on another device than the model's, as after ``torch.set_default_device``."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import rnnwidget as rw


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(20, 3), nn.Linear(8, 3)
        self.rnn = nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True)

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.embedding(words), lengths, batch_first=True, enforce_sorted=False)
        return self.head(pad_packed_sequence(self.rnn(packed)[0], batch_first=True)[0].sum(1))


@pytest.fixture
def batch() -> Iterator[tuple[nn.Module, tuple[Tensor, Tensor]]]:
    """A model on the CPU; on ``meta``, which stands for a GPU, nothing could be computed."""
    torch.manual_seed(0)
    model, inputs = Classifier(), (torch.randint(0, 20, (3, 7)), torch.tensor([7, 3, 5]))
    with torch.device("meta"):
        yield model, inputs


def answer(output: Tensor) -> Tensor:
    return output[0, 1]


def test_recording_and_files(batch: tuple[nn.Module, tuple[Tensor, Tensor]], tmp_path: Path) -> None:
    model, inputs = batch
    with rw.record(model, also=["head", "rnn"]) as recording:
        model(*inputs)
    recording.save(tmp_path / "run")
    for found in (recording, rw.load(tmp_path / "run")):
        layer = found["rnn.l1_reverse"]
        assert layer.replay_error < 1e-6
        assert layer.lengths.tolist() == [7, 3, 5]
        assert {layer[site].device.type for site in ("h", "c", "f")} == {"cpu"}
    assert recording.also["rnn"].device.type == "cpu"
    assert recording.to_xarray()["rnn.l0"].hidden.shape == (7, 3, 4)
    assert rw.cell_ledger(recording["rnn.l0"]).error < 1e-5


def test_edits(batch: tuple[nn.Module, tuple[Tensor, Tensor]]) -> None:
    model, inputs = batch
    with rw.record(model) as recording:
        model(*inputs)
    edits = [
        rw.clamp("f", 0.5, batch=[1]),
        rw.scale("i", 0.5),
        rw.shift("g", 1.0, steps=slice(2, 4)),
        rw.lesion([2], to="mean", recording=recording),
        rw.patch("o", recording, layer="rnn.l0", units=[1]),
    ]
    for edit in edits:
        assert rw.intervene(model, inputs, [edit]).change["rnn.l0"].device.type == "cpu"
    assert rw.Intervention(model, inputs).run(edits).output.device.type == "cpu"
    shifts = rw.sweep(model, inputs, edit_of=lambda v: rw.shift("f", v), values=range(-1, 2), answer=answer)
    assert shifts.answers.device.type == "cpu"
    assert rw.lesion_scores(model, inputs, layer="rnn.l0", answer=answer, controls=2).excess.device.type == "cpu"
    flow = rw.gradient_flow(model, inputs, lambda output: output.sum())
    assert flow["rnn.l0"].hidden.device.type == "cpu"


def test_the_inspector(batch: tuple[nn.Module, tuple[Tensor, Tensor]]) -> None:
    model, inputs = batch
    words = [[f"word{step}" for step in range(length)] for length in (7, 3, 5)]
    targets = torch.tensor([0, 1, 2], device="cpu")
    loss = nn.functional.cross_entropy
    inspector = rw.RNNInspector(model, inputs=inputs, tokens=words, targets=targets, loss=loss)
    try:
        inspector._repr_mimebundle_()
        inspector.ripple()._repr_mimebundle_()
        inspector.edits = [rw.shift("f", 1.0, steps=slice(2, 4))]
        inspector.sequence, inspector._page.score.ripple = 1, "hidden"
        assert inspector._page.score._status["state"] == "ready"
        assert inspector._page.score._frame["ripple"] is not None
    finally:
        inspector.close()
