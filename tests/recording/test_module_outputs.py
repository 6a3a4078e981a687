"""What other modules gave, beside the states and aligned with them."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence, pad_packed_sequence

import rnnwidget as rw
from rnnwidget.cells import registry
from rnnwidget.recording import listening
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
    if batch == written > 1:
        with pytest.raises(ValueError, match="as many steps as sequences"):
            _ = recording.also[""]
    else:
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


def test_a_shared_module_is_known_by_its_first_path() -> None:
    head = nn.Linear(4, 2)
    model = nn.ModuleDict({"rnn": nn.GRU(3, 4), "first": head, "second": head})
    with pytest.raises(KeyError, match="'second' is the module at 'first'"):
        rw.record(model, also=["second"]).__enter__()


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


@pytest.mark.parametrize("batch_first", [False, True])
def test_packed_outputs_of_as_many_steps_as_sequences_follow_their_module(batch_first: bool) -> None:
    model = Packed(batch_first=batch_first)
    x, lengths = torch.randn(5, 5, 3), torch.tensor([5, 2, 3, 1, 4])
    with rw.record(model, also=["head"]) as recording:
        model(x, lengths)
    hidden = recording["lstm.l0"].hidden
    expected = model.head(hidden).detach()
    live = ~hidden.isnan().any(-1)
    torch.testing.assert_close(recording.also["head"][live], expected[live])
    assert recording.also["head"][~live].isnan().all()


class Packed(Tagger):
    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        first = self.lstm.batch_first
        packed = pack_padded_sequence(x, lengths, batch_first=first, enforce_sorted=False)
        return self.head(pad_packed_sequence(self.lstm(packed)[0], batch_first=first)[0])


@pytest.mark.parametrize("steps", [5, 6])
def test_one_answer_for_each_sequence_is_no_series(steps: int) -> None:
    model = nn.ModuleDict({"lstm": nn.LSTM(3, 4, batch_first=True), "head": nn.Linear(4, 5)})
    with rw.record(model, also=["head"]) as recording:
        model["head"](model["lstm"](torch.randn(2, steps, 3))[0][:, -1])
    with pytest.raises(ValueError, match=r"'head' was called once and gave \(2, 5\)"):
        _ = recording.also["head"]


def test_threads_keep_their_own_outputs_and_leave_nothing() -> None:
    model = nn.ModuleDict({"rnn": nn.GRU(3, 4), "head": nn.Linear(4, 2)})
    failed: list[BaseException] = []

    def work(seed: int) -> None:
        x = torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(seed))
        try:
            for _ in range(60):
                with rw.record(model, also=["head"]) as recording:
                    given = model["head"](model["rnn"](x)[0])
                assert_same_bits(recording.also["head"], given)
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not failed
    assert not listening._listeners.get(model["head"])
    assert not model["head"]._forward_hooks


def test_what_a_file_cannot_hold_is_named(tmp_path: Path) -> None:
    model = nn.ModuleDict({"rnn": nn.GRU(3, 4), "spectrum": Spectrum()})
    with rw.record(model, also=["spectrum"]) as recording:
        model["spectrum"](model["rnn"](torch.randn(3, 2, 3))[0])
    with pytest.raises(TypeError, match=r"recording.also\['spectrum'\] is torch.complex64"):
        recording.save(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


class Spectrum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.fft(x)


@pytest.mark.parametrize("batch_first", [True, False])
def test_a_number_at_every_step_of_a_series_is_a_series(batch_first: bool) -> None:
    model, x = Forecaster(batch_first=batch_first), torch.randn(5, 2)
    with rw.record(model, also=["", "squash"]) as recording:
        output = model(x.T if batch_first else x).detach()
    for path in ("", "squash"):
        assert_same_bits(recording.also[path], output.T if batch_first else output)


class Forecaster(nn.Module):
    def __init__(self, *, batch_first: bool) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(1, 4, batch_first=batch_first), nn.Linear(4, 1)
        self.squash = nn.Tanh()

    def forward(self, x: Tensor) -> Tensor:
        return self.squash(self.head(self.rnn(x.unsqueeze(-1))[0]).squeeze(-1))


class Decider(nn.Module):
    """A value at every step, from a cell or from a layer that takes one step at a time."""

    def __init__(self, recurrent: nn.Module, values: int) -> None:
        super().__init__()
        self.recurrent, self.head = recurrent, nn.Linear(4, values)

    def forward(self, x: Tensor) -> Tensor:
        h, values = None, []
        for now in x:
            if isinstance(self.recurrent, nn.GRU):
                _, h = self.recurrent(now.unsqueeze(int(self.recurrent.batch_first)), h)
                values.append(self.head(h[-1]))
            else:
                h = self.recurrent(now, h)
                values.append(self.head(h))
        return torch.stack(values)


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("values", [1, 2])
@pytest.mark.parametrize(
    ("make", "steps"),
    [
        (lambda: nn.GRUCell(3, 4), 1),
        (lambda: nn.GRUCell(3, 4), 6),
        (lambda: nn.GRU(3, 4), 6),
        (lambda: nn.GRU(3, 4, batch_first=True), 6),
    ],
)
def test_a_head_of_one_value_has_an_axis_of_one(
    make: Callable[[], nn.Module], values: int, batch: int, steps: int
) -> None:
    model = Decider(make(), values)
    with rw.record(model, also=["head"]) as recording:
        output = model(torch.randn(steps, batch, 3)).detach()
    assert_same_bits(recording.also["head"], output)


class Gated(nn.Module):
    """One step, for which a cell of PyTorch's is called from another state each time."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(3, 4)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        return self.cell(x, h * x.mean().sigmoid())


def test_beside_a_registered_step_that_calls_a_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_registrations", dict(registry._registrations))
    rw.register(Gated)(lambda module, x, h, at: module.cell(x, h * x.mean().sigmoid()))
    model = nn.ModuleDict({"step": Gated(), "head": nn.Linear(4, 2)})
    with rw.record(model, also=["head"]) as recording:
        for _ in range(2):
            h, said = torch.zeros(2, 4), []
            for now in torch.randn(5, 2, 3):
                h = model["step"](now, h)
                said.append(model["head"](h))
    assert recording["step"].hidden.shape == (5, 2, 4)
    assert_same_bits(recording.also["head"], torch.stack(said).detach())
