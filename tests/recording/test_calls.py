"""Which calls are recorded, under which names, and for whom."""

import inspect
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence

import rnnwidget as rw
from rnnwidget.cells import MinGRU, registry
from tests.cases import Case, assert_close, assert_same_bits
from tests.found import found


class Tagger(nn.Module):
    """Two recurrent modules at different depths, and things that are not recurrent."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 3)
        self.encoder = nn.ModuleDict({"words": nn.LSTM(3, 4, num_layers=2, bidirectional=True)})
        self.decoder = nn.GRU(8, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        encoded, _ = self.encoder["words"](self.embed(tokens))
        return self.head(self.decoder(encoded)[0])


def test_names_are_paths_and_pytorchs_suffixes() -> None:
    model = Tagger()
    with rw.record(model) as recording:
        model(torch.randint(10, (5, 2)))
    assert recording.layers == (
        "encoder.words.l0",
        "encoder.words.l0_reverse",
        "encoder.words.l1",
        "encoder.words.l1_reverse",
        "decoder.l0",
    )
    assert "decoder.l0" in recording
    assert "head" not in recording
    assert recording["decoder.l0"].family == "gru"
    assert_close(recording["decoder.l0"].inputs[..., :4], recording["encoder.words.l1"].hidden, tolerance=0.0)


def test_wrappers_leave_no_trace_in_the_names() -> None:
    model = nn.DataParallel(Tagger())
    with rw.record(model) as recording:
        model(torch.randint(10, (5, 2)))
    assert recording.layers[0] == "encoder.words.l0"

    compiled = nn.ModuleDict({"_orig_mod": Tagger()})
    with rw.record(compiled) as recording:
        compiled["_orig_mod"](torch.randint(10, (5, 2)))
    assert recording.layers[-1] == "decoder.l0"


def test_every_call_is_kept_oldest_first() -> None:
    module = nn.GRU(3, 4)
    xs = [torch.randn(length, 1, 3) for length in (2, 5, 3)]
    with rw.record(module) as recording:
        outputs = [module(x)[0] for x in xs]
    calls = recording.calls("l0")
    assert [len(call.hidden) for call in calls] == [2, 5, 3]
    assert recording["l0"] is calls[-1]
    for call, output in zip(calls, outputs, strict=True):
        assert_same_bits(call.hidden, output)


def test_a_shared_module_keeps_its_first_path() -> None:
    shared = nn.LSTM(3, 3)
    model = nn.ModuleDict({"first": shared, "second": shared})
    with rw.record(model) as recording:
        x, _ = model["first"](torch.randn(4, 1, 3))
        model["second"](x)
    assert recording.layers == ("first.l0",)
    assert_same_bits(recording.calls("first.l0")[1].inputs, x)


def test_arguments_by_keyword_in_any_order() -> None:
    case = Case("lstm", form="packed", batch=3)
    x, state = case.arguments
    with rw.record(case.module) as recording:
        output, _ = case.module(hx=state, input=x)
    assert_close(recording["l0"].hidden, case.reference().output)
    assert_close(case.output_by_position(output), case.reference().output)


def test_a_subclass_that_passes_its_arguments_on() -> None:
    class Transposed(nn.LSTM):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.transpose(0, 1))[0].transpose(0, 1)

    module = Transposed(3, 4)
    with rw.record(module) as recording:
        output = module(torch.randn(2, 5, 3))
    assert_same_bits(recording["l0"].hidden, output.transpose(0, 1))
    assert recording["l0"].replay_error < 1e-5


@pytest.mark.parametrize("family", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_subclass_that_packs_inside(family: type[nn.RNNBase]) -> None:
    class Packing(family):
        def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
            packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
            return pad_packed_sequence(super().forward(packed)[0], total_length=len(x))[0]

    torch.manual_seed(0)
    module, x, lengths = Packing(3, 4, bidirectional=True), torch.randn(6, 3, 3), torch.tensor([2, 5, 3])
    plain = module(x, lengths)
    with rw.record(module) as recording:
        assert_same_bits(module(x, lengths), plain)
    assert recording["l0"].lengths.tolist() == [2, 5, 3]
    assert recording["l0"].replay_error < 1e-5
    for place, length in enumerate(lengths):
        assert_same_bits(recording["l0_reverse"].hidden[:length, place], plain[:length, place, 4:])
        assert recording["l0"].hidden[length:, place].isnan().all()
    with rw.edited(module, rw.clamp("hidden", 0.25, steps=[1], batch=[2])):
        edited = module(x, lengths)
    assert (edited[1, 2] == 0.25).all()
    assert_close(edited[:, :2], plain[:, :2], 1e-6)


def test_a_subclass_that_hands_packed_rows_to_the_kernel_is_refused_by_name() -> None:
    class Rows(nn.GRU):
        def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
            data, sizes, *_ = pack_padded_sequence(x, lengths, enforce_sorted=False)
            zeros = x.new_zeros(1, x.size(1), self.hidden_size)
            return torch.gru(data, sizes, zeros, self._flat_weights, True, 1, 0.0, False, False)[0]

    module = Rows(3, 4)
    x, lengths = torch.randn(5, 3, 3), torch.tensor([2, 5, 3])
    plain = module(x, lengths)
    with pytest.raises(NotImplementedError, match="Rows packs its input"), rw.record(module):
        module(x, lengths)
    assert_same_bits(module(x, lengths), plain)


def test_weights_that_a_parametrisation_computes() -> None:
    torch.manual_seed(0)
    module = nn.LSTM(3, 4)
    nn.utils.parametrizations.weight_norm(module, "weight_hh_l0")
    x = torch.randn(5, 2, 3)
    plain, _ = module(x)
    with rw.record(module) as recording:
        output, _ = module(x)
    assert_same_bits(output, plain)
    assert recording["l0"].replay_error < 1e-5
    with rw.edited(module, rw.clamp("f", 1.0)), rw.record(module) as recording:
        module(x)
    assert (recording["l0"]["f"] == 1).all()


def test_blocks_inside_blocks_each_see_every_call() -> None:
    case = Case("lstm", layers=2)
    with rw.record(case.module) as outer:
        case.call()
        with rw.record(case.module) as inner:
            output, _ = case.call()
        case.call()
    assert len(outer.calls("l0")) == 3
    assert len(inner.calls("l0")) == 1
    assert_same_bits(inner["l1"].hidden, output)
    assert_same_bits(outer.calls("l1")[1].hidden, output)


def test_a_model_inside_a_model_is_seen_by_both() -> None:
    model = Tagger()
    with rw.record(model) as whole, rw.record(model.decoder) as part:
        model(torch.randint(10, (5, 2)))
    assert part.layers == ("l0",)
    assert whole.layers[-1] == "decoder.l0"
    assert_same_bits(whole["decoder.l0"].hidden, part["l0"].hidden)


def test_each_block_has_the_names_of_its_own_model() -> None:
    model = Tagger()
    tokens = torch.randint(10, (5, 2))
    with rw.record(model) as whole, rw.edited(model.decoder, rw.clamp("z", 1.0, layer="l0")):
        model(tokens)
    assert (whole["decoder.l0"]["z"] == 1).all()
    with rw.edited(model, rw.clamp("z", 1.0, layer="decoder.l0")), rw.record(model.decoder) as part:
        model(tokens)
    assert (part["l0"]["z"] == 1).all()
    assert part["l0"].edits
    assert part["l0"].replay_error < 1e-5


def test_only_the_entering_thread_is_recorded() -> None:
    module = nn.GRU(3, 4)
    x = torch.randn(5, 1, 3)
    failures: list[BaseException] = []

    def elsewhere() -> None:
        try:
            with rw.record(module) as own:
                module(x[:2])
            assert len(own.calls("l0")) == 1
            module(x)
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    with rw.record(module) as recording:
        module(x)
        other = threading.Thread(target=elsewhere)
        other.start()
        other.join()
        module(x)
    assert not failures
    assert [len(call.hidden) for call in recording.calls("l0")] == [5, 5]
    assert not module._forward_hooks


def test_an_edit_concerns_the_entering_thread_only() -> None:
    module = nn.GRU(3, 4)
    x = torch.randn(5, 1, 3)
    plain, _ = module(x)
    found: list[Tensor] = []
    with rw.edited(module, rw.clamp("z", 1.0)):
        other = threading.Thread(target=lambda: found.append(module(x)[0]))
        other.start()
        other.join()
        here, _ = module(x)
    assert_same_bits(found[0], plain)
    assert not torch.equal(here, plain)


def test_many_threads_at_once() -> None:
    module = nn.LSTM(3, 4)
    inputs = [torch.randn(3 + index, 1, 3) for index in range(6)]
    failures: list[BaseException] = []
    ready = threading.Barrier(len(inputs))

    def work(x: Tensor) -> None:
        try:
            ready.wait()
            for _ in range(10):
                with rw.record(module) as recording:
                    output, _ = module(x)
                assert len(recording.calls("l0")) == 1
                assert_same_bits(recording["l0"].hidden, output)
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=work, args=(x,)) for x in inputs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert not module._forward_hooks
    assert not module._forward_pre_hooks


def test_the_text_form_counts_the_calls_of_each_layer() -> None:
    model = nn.ModuleDict({"often": nn.LSTM(3, 4), "once": nn.GRU(3, 4)})
    x = torch.randn(5, 2, 3)
    with rw.record(model) as recording:
        state = None
        for step in x:
            _, state = model["often"](step[None], state)
            state = tuple(each * 0.5 for each in state)
            _, state = model["often"](step[None], state)
        model["once"](x)
    assert repr(recording) == "Recording(often.l0 (6 calls), once.l0)"
    assert [recording.call_count(name) for name in recording.layers] == [6, 1]
    assert recording.call_count("elsewhere") == 0


def test_an_uncalled_model_gives_an_empty_recording() -> None:
    with rw.record(nn.GRU(3, 4)) as recording:
        pass
    assert recording.layers == ()
    assert repr(recording) == "Recording(empty)"
    with pytest.raises(KeyError, match="not called"):
        recording["l0"]


def test_errors_name_what_exists() -> None:
    case = Case("lstm")
    with rw.record(case.module) as recording:
        case.call()
    with pytest.raises(KeyError, match="l0"):
        recording["lstm.l0"]
    with pytest.raises(KeyError, match=r"forget_gate \(f\)"):
        recording["l0"]["update_gate"]
    with pytest.raises(KeyError, match="no pre-activation"):
        recording["l0"].preactivation("hidden")
    with rw.record(gru := nn.GRU(3, 4)) as recording:
        gru(torch.zeros(2, 1, 3))
    with pytest.raises(KeyError, match="cell"):
        _ = recording["l0"]["cell"]


def test_a_layer_without_a_cell_state_has_no_such_attribute() -> None:
    with rw.record(gru := nn.GRU(3, 4)) as recording:
        gru(torch.zeros(2, 1, 3))
    layer = recording["l0"]
    assert not hasattr(layer, "cell")
    assert getattr(layer, "cell", None) is None
    assert "hidden" in dict(inspect.getmembers(layer))
    for kind in (AttributeError, KeyError):
        with pytest.raises(kind, match=r"^layer 'l0' of family 'gru' has no cell state; its states: hidden$"):
            _ = layer.cell


def test_a_recording_is_gone_through_by_its_layers(tmp_path: Path) -> None:
    model = nn.LSTM(3, 4, num_layers=2)
    with rw.record(model) as recording:
        assert (list(recording), len(recording)) == ([], 0)
        model(torch.zeros(2, 1, 3))
    recording.save(tmp_path / "run.safetensors")
    for each in (recording, rw.load(tmp_path / "run.safetensors")):
        assert list(each) == list(each.keys()) == list(dict(each)) == ["l0", "l1"]
        assert len(each) == 2
        assert dict(each)["l1"] is each["l1"]


def test_nothing_is_warned_about_on_the_way() -> None:
    case = Case("lstm", layers=2, bidirectional=True, form="packed", dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with rw.record(case.module) as recording, rw.edited(case.module, rw.shift("f", 1.0)):
            case.call()
        assert recording["l0"].replay_error < 1e-5


def test_unsorted_packed_order_is_the_users() -> None:
    module = nn.RNN(1, 4)
    sequences = [torch.full((length, 1), float(length)) for length in (2, 5, 3)]
    with rw.record(module) as recording:
        module(pack_sequence(sequences, enforce_sorted=False))
    assert recording["l0"].lengths.tolist() == [2, 5, 3]
    assert recording["l0"].inputs[0, :, 0].tolist() == [2.0, 5.0, 3.0]


def test_the_users_own_hooks_keep_working() -> None:
    module = nn.GRU(3, 4)
    seen: list[str] = []
    module.register_forward_pre_hook(lambda *_: seen.append("before"))
    module.register_forward_hook(lambda *_: seen.append("after"))
    module.register_full_backward_hook(lambda *_: seen.append("backward"))
    with rw.record(module, gradients=True) as recording:
        module(torch.randn(5, 1, 3, requires_grad=True))[0].sum().backward()
    assert seen == ["before", "after", "backward"]
    assert recording.gradient_flow()["l0"].hidden.isfinite().all()


def _hook_inside_the_block(model: nn.LSTM, x: Tensor, states: tuple[Tensor, Tensor]) -> object:
    handle = model.register_forward_pre_hook(lambda _, given: (given[0], states))
    try:
        return model(x)
    finally:
        handle.remove()


def _forward_of_its_own(model: nn.LSTM, x: Tensor, states: tuple[Tensor, Tensor]) -> object:
    model.forward = lambda x: nn.LSTM.forward(model, x, states)
    try:
        return model(x)
    finally:
        del model.forward


@torch.no_grad()
@pytest.mark.parametrize("call", [_hook_inside_the_block, _forward_of_its_own])
def test_states_that_somebody_gives_behind_our_hook(call: Callable[..., object]) -> None:
    torch.manual_seed(0)
    model, x, lesion = nn.LSTM(3, 4, num_layers=2), torch.randn(6, 2, 3), rw.lesion([1], layer="l1")
    states = torch.randn(2, 2, 4), torch.randn(2, 2, 4)
    with rw.record(model) as recording:
        assert_same_bits(call(model, x, states), model(x, states))
    assert all(layer.replay_error < 1e-5 for name in recording.layers for layer in recording.calls(name))
    with rw.edited(model, lesion):
        model(x)
        expected = model(x, states)
        assert_same_bits(call(model, x, states), expected)


def test_other_modules_run_outside_our_mode() -> None:
    class Looks(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            modes.append(torch.overrides._get_current_function_mode_stack())
            return x

    modes: list[object] = []
    model = nn.Sequential(Looks(), nn.RNN(3, 4))
    with rw.record(model):
        model(torch.randn(2, 1, 3))
        modes.append(torch.overrides._get_current_function_mode_stack())
    assert modes == [[], []]


@pytest.mark.parametrize(("own", "cast"), [(torch.float16, torch.bfloat16), (torch.bfloat16, torch.float16)])
@pytest.mark.parametrize("training", [True, False])
def test_a_stack_in_two_half_precisions_at_once(own: torch.dtype, cast: torch.dtype, training: bool) -> None:
    """PyTorch may compute its upper layers otherwise by themselves than in the stack: what the stack gave is kept."""
    torch.manual_seed(0)
    module = nn.LSTM(3, 4, num_layers=3, dropout=0.5, bidirectional=True, dtype=own).train(training)
    x = torch.randn(6, 2, 3, dtype=own)
    with torch.no_grad(), torch.autocast("cpu", cast):
        torch.manual_seed(1)
        try:
            plain = module(x)
        except RuntimeError:
            pytest.skip("this CPU has no such kernel")
        after = torch.get_rng_state()
        torch.manual_seed(1)
        with rw.record(module) as recording:
            output = module(x)
        assert torch.equal(torch.get_rng_state(), after)
        assert_same_bits(output, plain)
        lower = nn.LSTM(3, 4, num_layers=2, dropout=0.5, bidirectional=True, dtype=own).train(training)
        lower.load_state_dict({name: weight for name, weight in module.state_dict().items() if "_l2" not in name})
        torch.manual_seed(1)
        assert_same_bits(torch.cat([recording["l1"].hidden, recording["l1_reverse"].hidden], -1), lower(x)[0])
        assert all(recording[name].replay_error < 2e-2 for name in recording.layers)
        result = rw.intervene(module.eval(), x, rw.shift("f", 1.0, layer="l0"))
        assert_close(result.baseline[0].float(), module(x)[0].float(), 2e-2)
        moved = {name for name, change in result.change.items() if change.abs().max() > 0}
        assert moved == {*result.change} - {"l0_reverse"}
    dropped = recording["l2"].inputs == 0
    assert (0.2 < dropped.double().mean() < 0.8) == training


@pytest.mark.parametrize("isa", ["AVX2", "AVX512_CORE_BF16"])
def test_a_stack_in_two_half_precisions_on_an_older_processor(isa: str) -> None:
    """oneDNN has kernels for neither half precision, or for one."""
    asked = f"{__file__}::{test_a_stack_in_two_half_precisions_at_once.__name__}"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", asked]
    done = subprocess.run(
        command, env=os.environ | {"ONEDNN_MAX_CPU_ISA": isa}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


def test_a_bare_registered_module_with_a_cell_inside_keeps_both_names(monkeypatch: pytest.MonkeyPatch) -> None:
    class Zoneout(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.LSTMCell(3, 4)

        def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            state, output = (x.new_zeros(x.size(1), 4),) * 2, []
            for x_t in x:
                state = tuple(0.9 * new + 0.1 * old for new, old in zip(self.cell(x_t, state), state, strict=True))
                output.append(state[0])
            return torch.stack(output), state

    monkeypatch.setattr(registry, "_families", dict(registry._families))
    monkeypatch.setattr(registry, "_registrations", dict(registry._registrations))

    @rw.register(Zoneout, states=("hidden", "cell"))
    def step(module: nn.Module, x: Tensor, state: tuple[Tensor, Tensor], at: object) -> tuple[Tensor, ...]:
        return tuple(0.9 * new + 0.1 * old for new, old in zip(module.cell(x, state), state, strict=True))

    model = Zoneout()
    with rw.record(model) as recording:
        output, _ = model(torch.randn(5, 2, 3))
    assert recording.layers == ("cell", "zoneout")
    assert recording["cell"].gates[0] == "input_gate"
    assert_same_bits(recording["zoneout"].hidden, output.detach())


def test_a_block_that_has_begun_is_not_entered_again() -> None:
    model, x = nn.GRU(3, 4), torch.randn(2, 1, 3)
    before = found(model)
    for block in (rw.record(model), rw.edited(model, rw.clamp("z", 1.0))):
        for _ in range(2):
            with block:
                with pytest.raises(RuntimeError, match="has begun and not ended"):
                    block.__enter__()
                model(x)
            assert found(model) == before


def test_where_a_call_has_no_values_it_is_refused() -> None:
    model = nn.LSTM(3, 4, device="meta")
    with pytest.raises(NotImplementedError, match="on device meta"), rw.record(model):
        model(torch.empty(5, 2, 3, device="meta"))
    own = MinGRU(3, 4)
    mapped = torch.func.vmap(lambda x: own(x.unsqueeze(1))[0])
    with pytest.raises(NotImplementedError, match=r"inside torch\.vmap"), rw.record(own):
        mapped(torch.randn(7, 5, 3))
    assert not model._forward_hooks
    assert not own._forward_hooks


def test_a_call_in_other_arithmetic_is_not_run_again_in_ours() -> None:
    torch.manual_seed(0)
    model, x = nn.RNN(8, 64, num_layers=2), torch.randn(400, 2, 8)
    with torch.no_grad():
        model.weight_hh_l0.normal_(std=1.5 / 8)
        with torch.backends.mkldnn.flags(enabled=False), rw.record(model) as recording:
            model(x)
        with torch.backends.mkldnn.flags(enabled=False):
            below = nn.RNN(8, 64)
            below.load_state_dict({name: model.state_dict()[name] for name in below.state_dict()})
            expected, _ = below(x)
    assert_same_bits(recording["l0"].hidden, expected)
