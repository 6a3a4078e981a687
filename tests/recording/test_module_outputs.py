"""What other modules gave, beside the states and aligned with them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_packed_sequence

import rnnwidget as rw
from tests.cases import assert_same_bits
from tests.found import found


class Translator(nn.Module):
    """Encoder, and a decoder that looks before every step and speaks after it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.GRU(3, 4, batch_first=True)
        self.cell = nn.GRUCell(3, 4)
        self.attention = nn.Linear(4, 6)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        _, h = self.encoder(x)
        h, said, words, looks = h[0], x[:, 0], [], []
        for _ in range(steps):
            looks.append(self.attention(h).softmax(-1))
            h = self.cell(said, h)
            said = self.head(h)
            words.append(said)
        return torch.stack(words, dim=1), torch.stack(looks, dim=1)


class Tagger(nn.Module):
    def __init__(self, *, batch_first: bool = False) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=batch_first)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor | PackedSequence) -> object:
        output, _ = self.lstm(x)
        if isinstance(output, PackedSequence):
            return output._replace(data=self.head(output.data))
        return {"features": output, "logits": self.head(output)}


@settings(max_examples=40)
@given(read=st.integers(1, 5), written=st.integers(1, 5), batch=st.integers(1, 3), times=st.integers(1, 2))
def test_a_loop_s_outputs_are_stacked_by_step(read: int, written: int, batch: int, times: int) -> None:
    model = Translator()
    with rw.record(model, also=["attention", "head", ""]) as recording:
        for _ in range(times):
            words, looks = model(torch.randn(batch, read, 3), written)
    assert recording["cell"].hidden.shape[:2] == (written, batch)
    assert_same_bits(recording.also["head"], words.detach().transpose(0, 1))
    assert_same_bits(recording.also["attention"].softmax(-1), looks.detach().transpose(0, 1))
    if batch != written or batch == 1:
        assert_same_bits(recording.also[""], words.detach().transpose(0, 1))


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("sizes", [(5, 2), (2, 2), (1, 3), (4, 1)])
def test_an_output_of_a_whole_sequence_is_laid_out_by_time(batch_first: bool, sizes: tuple[int, int]) -> None:
    model, x = Tagger(batch_first=batch_first), torch.randn(*sizes, 3)
    with rw.record(model, also=["head", ""]) as recording:
        output = model(x.transpose(0, 1) if batch_first else x)
    expected = output["logits"].detach()
    for path in ("head", ""):
        assert_same_bits(recording.also[path], expected.transpose(0, 1) if batch_first else expected)


def test_packed_outputs_are_blank_where_a_sequence_has_ended() -> None:
    model = Tagger()
    packed = pack_sequence([torch.randn(length, 3) for length in (2, 5, 3)], enforce_sorted=False)
    with rw.record(model, also=["head", ""]) as recording:
        output = model(packed)
    expected, lengths = pad_packed_sequence(output)
    ended = (torch.arange(5)[:, None] >= lengths).unsqueeze(-1)
    for path in ("head", ""):
        assert_same_bits(recording.also[path], expected.detach().masked_fill(ended, torch.nan))


def test_outputs_are_kept_from_later_changes() -> None:
    model, x = Tagger(), torch.randn(4, 2, 3)
    with rw.record(model, also=["head"]) as recording:
        logits = model(x)["logits"]
        expected = logits.detach().clone()
        with torch.no_grad():
            logits.zero_()
    assert_same_bits(recording.also["head"], expected)
    assert not recording.also["head"].requires_grad


def test_the_last_call_counts_and_nested_recordings_keep_their_own() -> None:
    model = Tagger()
    with rw.record(model, also=["head"]) as outer:
        model(torch.randn(4, 2, 3))
        with rw.record(model, also=["head"]) as inner:
            seen = model(torch.randn(4, 2, 3))["logits"].detach()
        last = model(torch.randn(4, 2, 3))["logits"].detach()
    assert_same_bits(inner.also["head"], seen)
    assert_same_bits(outer.also["head"], last)


def test_the_model_is_found_as_it_was() -> None:
    model, x, wide = Tagger(), torch.randn(4, 2, 3), torch.randn(4, 2, 7)
    before = found(model)
    with rw.record(model, also=["head", ""]):
        model(x)
    assert found(model) == before

    def fail() -> None:
        with rw.record(model, also=["head"]):
            model(wide)

    with pytest.raises(RuntimeError):
        fail()
    assert found(model) == before


def test_what_has_no_steps_says_so() -> None:
    class Classifier(Tagger):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.lstm(x)[0][-1])

    with rw.record(model := Classifier(), also=["head"]) as recording:
        model(torch.randn(5, 3, 3))
    with pytest.raises(ValueError, match=r"called once and gave \(3, 2\).*5 × 3"):
        recording.also["head"]


def test_unknown_paths_are_refused_before_anything_is_attached() -> None:
    model = Tagger()
    before = found(model)
    with pytest.raises(KeyError, match="'lstm', 'head'"), rw.record(model, also=["heads"]):
        pass
    with pytest.raises(TypeError, match="list of module paths"), rw.record(model, also="head"):
        pass
    assert found(model) == before
    with rw.record(model, also=["head"]) as recording:
        pass
    with pytest.raises(KeyError, match="not called"):
        recording.also["head"]
    with pytest.raises(KeyError, match="kept were 'head'"):
        recording.also["lstm"]
    assert list(recording.also) == ["head"]
