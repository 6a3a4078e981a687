import copy
import gc
import io
import pickle
import threading
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import rnnwidget as rw
from rnnwidget.recording.model_capture import AT_ONCE
from rnnwidget.recording.twin import Twin
from rnnwidget.widgets.after_cells import after_each_cell
from tests.threads import in_a_new_thread
from tests.widgets.models import Fragile, Numbered, classifier_and_batch


def floats(data: bytes) -> np.ndarray:
    return np.frombuffer(data, "<f4")


def frame_of(inspector):
    return inspector._page.score._frame


def ask(inspector, serial, dials, layer=None, units=None):
    inspector._page.score._request = {"serial": serial, "layer": layer, "units": units, "dials": dials}


def test_inputs_fill_at_once_and_the_frame_holds_what_the_engine_says(inspect):
    model, batch, words = classifier_and_batch()
    inspector = inspect(model, inputs=batch, tokens=words)
    with rw.record(model) as recording:
        output = model(*batch)
    assert torch.equal(inspector.output, output)
    inspector.layer, inspector.sequence, inspector.site = "lstm.l1_reverse", 1, "forget_gate"
    frame = frame_of(inspector)
    assert frame["tokens"] == words[1]
    assert frame["steps"] == 3
    order = np.frombuffer(frame["order"], "<i4")
    assert sorted(order) == list(range(5))
    heatmap = frame["heatmap"]
    shown = floats(heatmap["data"]).reshape(heatmap["rows"], heatmap["columns"])
    expected = recording["lstm.l1_reverse"]["f"][:3, 1].T[torch.tensor(order.copy()).long()]
    np.testing.assert_allclose(shown, expected.detach(), atol=1e-6)
    assert heatmap["before"] is None
    assert frame["residual"]["ok"]


@pytest.mark.parametrize("layer", ["lstm.l0", "lstm.l0_reverse"])
def test_the_trace_solves_the_update_equation(inspect, layer):
    model, batch, _ = classifier_and_batch()
    inspector = inspect(model, inputs=batch)
    inspector.layer, inspector.units = layer, [1, 3]
    trace = frame_of(inspector)["trace"]
    assert trace["unit"] == 3
    i, f, g, c = (floats(trace["series"][site]["after"]) for site in ("input_gate", "forget_gate", "candidate", "cell"))
    np.testing.assert_allclose(c, f * floats(trace["previous"]["cell"]) + i * g, atol=1e-6)


def test_a_dial_reruns_the_model_as_the_engine_does(inspect):
    model, batch, words = classifier_and_batch()
    inspector = inspect(model, inputs=batch, tokens=words, loss=nn.CrossEntropyLoss(), targets=torch.tensor([0, 1, 0]))
    before = inspector.output
    ask(inspector, 1, {"forget_gate": {"kind": "shift", "value": -4.0}}, layer="lstm.l0", units=[0, 2])
    edit = rw.shift("forget_gate", -4.0, layer="lstm.l0", units=[0, 2])
    assert inspector.edits == [edit]
    expected = rw.intervene(model, batch, [edit])
    assert torch.equal(inspector.output, expected.output)
    assert torch.equal(inspector.baseline_output, expected.baseline)
    frame = frame_of(inspector)
    assert frame["answers"] == 1
    probability = torch.softmax(expected.output[0], dim=0)
    np.testing.assert_allclose(floats(frame["answer"]["after"]), probability.detach(), atol=1e-6)
    assert frame["edited"] == [{"units": [0, 2], "steps": None}]
    assert frame["heatmap"]["before"] is not None
    ask(inspector, 2, {}, layer="lstm.l0", units=[0, 2])
    assert inspector.edits == []
    assert torch.equal(inspector.output, before)


def test_edits_from_python_move_the_dials_and_the_scope(inspect):
    model, batch, _ = classifier_and_batch()
    inspector = inspect(model, inputs=batch)
    inspector.edits = [rw.clamp("forget_gate", 1.0)]
    assert inspector._page.score.scope == {"units": "selected", "layers": "all", "steps": "brushed"}
    assert inspector._page.score.dials == {"forget_gate": {"kind": "clamp", "value": 1.0}}
    inspector.edits = [rw.shift("o", 2.0, layer="lstm.l1", units=[4, 1])]
    assert (inspector.layer, inspector.units) == ("lstm.l1", [4, 1])
    assert inspector._page.score.dials == {"output_gate": {"kind": "shift", "value": 2.0}}


def test_edits_of_other_scopes_stay_while_one_scope_is_dragged(inspect):
    model, batch, _ = classifier_and_batch()
    inspector = inspect(model, inputs=batch)
    inspector.edits = [rw.shift("f", 1.0, layer="lstm.l0"), rw.scale("cell", 0.5, layer="lstm.l1")]
    ask(inspector, 1, {"forget_gate": {"kind": "clamp", "value": 0.0}}, layer="lstm.l0")
    assert inspector.edits == [
        rw.scale("cell", 0.5, layer="lstm.l1"),
        rw.clamp("forget_gate", 0.0, layer="lstm.l0"),
    ]
    inspector._page.score._request = {"serial": 2, "clear": True}
    assert inspector.edits == []


def test_stale_requests_are_skipped(inspect):
    model, batch, _ = classifier_and_batch()
    inspector = inspect(model, inputs=batch)
    ask(inspector, 5, {"forget_gate": {"kind": "shift", "value": 1.0}})
    ask(inspector, 4, {"forget_gate": {"kind": "shift", "value": 3.0}})
    assert inspector.edits == [rw.shift("forget_gate", 1.0)]


def test_what_came_in_one_message_is_obeyed_in_its_order_and_once(inspect):
    model, batch, _ = classifier_and_batch()
    inspector = inspect(model, inputs=batch)
    whole = {"layer": None, "units": None, "steps": None}
    first = whole | {"serial": 1, "dials": {"forget_gate": {"kind": "shift", "value": 1.0}}}
    wrong = {"serial": 2, "inputs": {"kind": "words", "words": ["what"]}}
    last = whole | {"serial": 3, "only": ["input_gate"], "dials": {"input_gate": {"kind": "clamp", "value": 0.5}}}
    made = []
    inspector.observe(lambda change: made.append(change["new"]), names=["edits"])
    inspector._page.score._request = last | {"before": [first, wrong]}
    assert made == [[rw.shift("forget_gate", 1.0)], [rw.shift("forget_gate", 1.0), rw.clamp("input_gate", 0.5)]]
    inspector._page.score._request = {"serial": 4, "clear": True, "before": [first, wrong, last]}
    assert inspector.edits == []
    assert len(made) == 3


def test_a_waiting_inspector_tells_what_it_found_and_is_filled_by_the_next_call(inspect):
    model, batch, words = classifier_and_batch()
    inspector = inspect(model, tokens=words)
    frame = frame_of(inspector)
    assert frame["state"] == "waiting"
    assert frame["found"] == [
        {
            "path": "lstm",
            "family": "LSTM",
            "layers": 2,
            "units": 5,
            "direction": "both directions",
            "parameters": sum(p.numel() for p in model.lstm.parameters()),
        }
    ]
    assert inspector.recording is None
    output = model(*batch)
    assert frame_of(inspector)["state"] == "filled"
    assert torch.equal(inspector.output, output)
    ask(inspector, 1, {"forget_gate": {"kind": "clamp", "value": 0.0}})
    expected = rw.intervene(model, batch, [rw.clamp("forget_gate", 0.0)])
    assert torch.equal(inspector.output, expected.output)


def test_a_call_on_another_thread_fills(inspect):
    model, batch, _ = classifier_and_batch()
    inspector = inspect(model)
    thread = threading.Thread(target=lambda: model(*batch))
    thread.start()
    thread.join()
    assert inspector.recording is not None


def test_calls_in_quick_succession_are_sampled(inspect, monkeypatch):
    model, batch, _ = classifier_and_batch()
    now = [0.0]
    monkeypatch.setattr("rnnwidget.recording.model_capture.time.monotonic", lambda: now[0])
    inspector = inspect(model)
    for _ in range(AT_ONCE):
        before = inspector.recording
        model(*batch)
        assert inspector.recording is not before
    last = inspector.recording
    now[0] = 0.1
    model(*batch)
    assert inspector.recording is last
    now[0] = 0.2 * AT_ONCE + 0.1
    model(*batch)
    assert inspector.recording is not last


def test_tokens_that_do_not_fit_a_later_call_show_in_the_widget_and_not_in_the_loop(inspect):
    model, batch, _ = classifier_and_batch()
    inspector = inspect(model, tokens=[["only", "two"]])
    model(*batch)
    assert inspector._page.score._status["state"] == "error"
    assert "tokens hold 1 sequence, the model read 3" in inspector._page.score._status["message"]


def test_a_page_that_does_not_paint_asks_for_no_calls(inspect, monkeypatch):
    model, batch, _ = classifier_and_batch()
    now = [0.0]
    monkeypatch.setattr("rnnwidget.recording.model_capture.time.monotonic", lambda: now[0])
    inspector = inspect(model)
    inspector._page.score._drawn = 1
    for _ in range(5):
        now[0] += 1
        model(*batch)
    seen = inspector.recording
    assert frame_of(inspector)["version"] == 3
    now[0] += 1
    model(*batch)
    assert inspector.recording is seen
    inspector._page.score._drawn = 3
    now[0] += 1
    model(*batch)
    assert inspector.recording is not seen


def test_a_page_says_what_it_has_painted_in_a_message_and_is_told_nothing_back(inspect, monkeypatch):
    model, batch, _ = classifier_and_batch()
    score = inspect(model, inputs=batch)._page.score
    sent = []
    # Of a comm with a kernel a widget says what has changed; this one has none.
    monkeypatch.setattr(type(score.comm), "kernel", object(), raising=False)
    monkeypatch.setattr(score.comm, "send", lambda *message, **parts: sent.append((message, parts)))
    score.told = "a"
    assert sent
    sent.clear()
    score._handle_custom_msg({"drawn": 1}, [])
    score._handle_custom_msg({"of another kind": 2}, [])
    assert (score.drawn, sent) == (1, [])


def test_what_is_owed_to_a_page_is_made_under_the_lock_of_what_it_shows(inspect, monkeypatch):
    # Under another, an answer of a person's own that sets a trait would wait for a thread that waits for the page.
    model, batch, _ = classifier_and_batch()
    inspector = inspect(model, inputs=batch)
    page = inspector._page
    free = []

    def is_free():
        taken = inspector._lock.acquire(blocking=False)
        if taken:
            inspector._lock.release()
        return taken

    def make():
        free.append(in_a_new_thread(is_free))
        return inspector._contents()

    monkeypatch.setattr(page, "_make", make)
    page.score._handle_custom_msg({"drawn": 1}, [])
    page._version += 9
    inspector.site = "cell"
    assert free == []
    page.score._handle_custom_msg({"drawn": page._version}, [])
    assert free == [False]
    assert frame_of(inspector)["site"] == "cell"


def test_a_request_that_was_held_back_does_not_unpaint_what_a_message_told_of(inspect):
    model, batch, _ = classifier_and_batch()
    score = inspect(model, inputs=batch)._page.score
    score._handle_custom_msg({"drawn": 2}, [])
    score.set_state({"_drawn": 1, "units": [3]})
    assert (score.drawn, score.units) == (2, [3])


def test_a_picture_that_takes_long_is_made_less_often(inspect, monkeypatch):
    model, batch, _ = classifier_and_batch()
    now = [0.0]
    monkeypatch.setattr("rnnwidget.recording.model_capture.time.monotonic", lambda: now[0])
    inspector = inspect(model)
    take = inspector._probe.take
    monkeypatch.setattr(inspector._probe, "take", lambda *call: (now.__setitem__(0, now[0] + 1.0), take(*call))[1])
    model(*batch)
    now[0] += 0.3
    model(*batch)
    seen = inspector.recording
    now[0] += 8.0
    model(*batch)
    assert inspector.recording is seen
    now[0] += 2.0
    model(*batch)
    assert inspector.recording is not seen


def test_an_error_from_edits_set_in_python_is_raised_there(inspect):
    inspector = inspect(Fragile(), inputs=torch.randn(20, 1, 3))
    with pytest.raises(ArithmeticError, match="ran away"):
        inspector.edits = [rw.clamp(gate, 1.0) for gate in ("f", "i", "g")]
    assert inspector._page.score._status["state"] == "error"
    with pytest.raises(IndexError, match="outside a batch of 1"):
        inspector.edits = [rw.clamp("f", 1.0, batch=[9])]


def test_a_model_run_itself_leaves_a_pending_backward_alone(inspect):
    class Locked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lock = threading.Lock()
            self.rnn = nn.RNN(3, 4)
            self.norm = nn.BatchNorm1d(4)

        def forward(self, x):
            return self.norm(self.rnn(x)[0][-1])

    model, x = Locked(), torch.randn(5, 3, 3)
    inspector = inspect(model, inputs=x)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    pending = model(x)
    after = {name: buffer.clone() for name, buffer in model.named_buffers()}
    inspector.edits = [rw.shift("hidden", 1.0)]
    pending.sum().backward()
    assert any(not torch.equal(after[name], before[name]) for name in before)
    assert all(torch.equal(buffer, after[name]) for name, buffer in model.named_buffers())


def test_outputs_in_mappings_are_kept_as_they_were(inspect):
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.GRU(3, 4)

        def forward(self, x):
            return OrderedDict(logits=self.rnn(x)[0][-1])

    model = Named()
    inspector = inspect(model)
    output = model(torch.randn(5, 2, 3))
    expected = output["logits"].detach().clone()
    output["logits"].data.zero_()
    assert torch.equal(inspector.output["logits"], expected)


def test_no_sequences_are_refused():
    with pytest.raises(ValueError, match="batch of size 0"):
        rw.RNNInspector(nn.LSTM(3, 4), inputs=torch.randn(5, 0, 3))


def test_a_call_that_cannot_be_recorded_goes_through_and_is_told_of(inspect):
    class Packing(nn.GRU):
        def forward(self, x):
            data, sizes, *_ = pack_padded_sequence(x, torch.tensor([5, 3]))
            return torch.gru(data, sizes, x.new_zeros(1, 2, 4), self._flat_weights, True, 1, 0.0, False, False)[0]

    model, x = Packing(3, 4), torch.randn(5, 2, 3)
    inspector = inspect(model)
    assert torch.isfinite(model(x)).all()
    assert inspector._page.score._status["state"] == "error"
    assert "packs" in inspector._page.score._status["message"]
    assert inspector.recording is None


def test_training_is_bit_identical_under_an_inspector_that_drags(inspect):
    def train(*, watched: bool) -> list[torch.Tensor]:
        torch.manual_seed(3)
        model = nn.Sequential(nn.LSTM(3, 4, num_layers=2, dropout=0.5)).train()
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
        inspector = inspect(model, inputs=torch.ones(4, 2, 3)) if watched else None
        stop = threading.Event()

        def drag() -> None:
            serial = 0
            while not stop.is_set():
                serial += 1
                ask(inspector, serial, {"forget_gate": {"kind": "shift", "value": 1.0 + serial % 3}})

        thread = threading.Thread(target=drag)
        if watched:
            thread.start()
        try:
            for _ in range(30):
                optimiser.zero_grad()
                model(torch.randn(4, 2, 3))[0].square().sum().backward()
                optimiser.step()
        finally:
            stop.set()
            if watched:
                thread.join()
        return [parameter.detach().clone() for parameter in model.parameters()]

    for watched, alone in zip(train(watched=True), train(watched=False), strict=True):
        assert torch.equal(watched, alone)


def test_an_error_in_the_model_keeps_the_last_good_picture(inspect):
    model = Fragile()
    inspector = inspect(model, inputs=torch.randn(20, 1, 3))
    picture = frame_of(inspector)
    output = inspector.output
    ask(inspector, 1, {g: {"kind": "clamp", "value": 1.0} for g in ("forget_gate", "input_gate", "candidate")})
    status = inspector._page.score._status
    assert status["state"] == "error"
    assert status["message"] == "ArithmeticError: the cell ran away"
    assert status["answers"] == 1
    assert frame_of(inspector) is picture
    assert inspector.output is output
    ask(inspector, 2, {"forget_gate": {"kind": "shift", "value": 0.5}})
    assert inspector._page.score._status["state"] == "ready"
    assert not model.lstm._forward_hooks


def test_an_error_in_the_persons_own_readout_stands_in_its_place_and_the_states_are_shown(inspect):
    model, batch, _ = classifier_and_batch()
    inspector = inspect(model, inputs=batch, answer=lambda output: output.no_such_thing)
    for serial in range(1, 5):
        ask(inspector, serial, {"forget_gate": {"kind": "shift", "value": float(serial)}})
    frame = frame_of(inspector)
    assert frame["answer"] is None
    assert frame["answer_error"].startswith("answer= failed: AttributeError: ")
    assert "no_such_thing" in frame["answer_error"]
    assert frame["heatmap"]["before"] is not None
    assert inspector._page.score._status["state"] == "ready"


def test_a_wish_that_changes_nothing_is_answered(inspect):
    model, batch, _ = classifier_and_batch()
    inspector = inspect(model, inputs=batch)
    score = inspector._page.score
    for serial in (1, 2):
        score._request = {"serial": serial, "inputs": {"kind": "reset"}}
        assert max(score._frame["answers"], score._status["answers"]) == serial


def test_pages_count_their_wishes_each_for_itself(inspect):
    model, batch, _ = classifier_and_batch()
    inspector = inspect(model, inputs=batch)
    wish = {"serial": 1, "layer": None, "units": None, "steps": None}
    first = wish | {"page": "one", "dials": {"forget_gate": {"kind": "shift", "value": 1.0}}}
    second = wish | {"page": "two", "only": ["input_gate"], "dials": {"input_gate": {"kind": "shift", "value": 2.0}}}
    inspector._page.score._request = first
    inspector._page.score._request = second | {"before": [first]}
    assert inspector.edits == [rw.shift("forget_gate", 1.0), rw.shift("input_gate", 2.0)]


def test_an_answer_that_fails_under_an_edit_comes_back_with_the_next_one(inspect):
    model, batch, _ = classifier_and_batch()

    def answer(output):
        if not torch.equal(output, model(*batch)):
            raise ArithmeticError("moved")
        return 1.0

    inspector = inspect(model, inputs=batch, answer=answer)
    assert frame_of(inspector)["answer_error"] == ""
    ask(inspector, 1, {"forget_gate": {"kind": "shift", "value": 2.0}})
    assert frame_of(inspector)["answer_error"] == "answer= failed: ArithmeticError: moved"
    ask(inspector, 2, {})
    assert frame_of(inspector)["answer"]["headline"] == "answer  1.00"
    assert frame_of(inspector)["answer_error"] == ""


def test_the_page_is_never_more_than_two_frames_behind(inspect):
    model, batch, _ = classifier_and_batch()
    inspector = inspect(model, inputs=batch)
    score = inspector._page.score
    score._drawn = frame_of(inspector)["version"]
    for serial in range(1, 6):
        ask(inspector, serial, {"forget_gate": {"kind": "shift", "value": float(serial)}})
    assert frame_of(inspector)["version"] == score._drawn + 2
    score._drawn = frame_of(inspector)["version"]
    assert frame_of(inspector)["answers"] == 5


def test_nothing_is_sent_before_it_is_displayed(inspect):
    model, batch, _ = classifier_and_batch()
    inspector = inspect(model, displayed=False, inputs=batch)
    assert frame_of(inspector) == {}
    inspector._repr_mimebundle_()
    assert frame_of(inspector)["state"] == "filled"


def test_gradients_are_those_of_the_loss_and_leave_none_behind(inspect):
    model, batch, _ = classifier_and_batch()
    targets = torch.tensor([1, 0, 1])
    inspector = inspect(model, inputs=batch, loss=nn.CrossEntropyLoss(), targets=targets)
    frame = frame_of(inspector)
    flow = rw.gradient_flow(model, batch, lambda output: nn.functional.cross_entropy(output, targets))
    of_layer = flow["lstm.l0"]
    total = (of_layer.hidden[:, 0].square().sum(-1) + of_layer.cell[:, 0].square().sum(-1)).sqrt()
    np.testing.assert_allclose(floats(frame["gradient"]["total"]), total, rtol=1e-5)
    np.testing.assert_allclose(floats(frame["gradient"]["local"]), of_layer.hidden_local[:, 0].norm(dim=-1), atol=1e-7)
    assert len(inspector._page.box.children) == 2
    assert all(parameter.grad is None for parameter in model.parameters())


def test_without_a_loss_the_gradient_lane_says_what_it_needs(inspect):
    model, batch, _ = classifier_and_batch()
    frame = frame_of(inspect(model, inputs=batch))
    assert frame["gradient"] is None
    assert "loss=" in frame["gradient_message"]


def of_two(output, targets):
    return nn.functional.cross_entropy(output, targets)


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), of_two])
def test_a_loss_that_wants_targets_says_which_argument_gives_them(inspect, loss):
    model, batch, _ = classifier_and_batch()
    with pytest.raises(
        TypeError, match=r"no targets=: .*missing 1 required positional argument: 'target.*give targets="
    ):
        rw.RNNInspector(model, inputs=batch, loss=loss)
    inspector = inspect(model, loss=loss)
    model(*batch)
    assert "give targets=" in inspector._page.score._status["message"]


def test_the_losss_own_exceptions_are_the_persons(inspect):
    model, batch, _ = classifier_and_batch()
    with pytest.raises(TypeError, match=r"^of_two\(\) missing 1 required positional argument: 'targets'$"):
        rw.RNNInspector(model, inputs=batch, loss=lambda output: of_two(output).sum())
    with pytest.raises(TypeError, match=r"^.*argument 'target'.* must be Tensor") as raised:
        rw.RNNInspector(model, inputs=batch, loss=of_two, targets="none")
    assert "targets=" not in str(raised.value)
    assert inspect(model, inputs=batch, loss=lambda output, power=2: output.pow(power).sum()).recording is not None


def test_a_model_can_be_copied_and_saved_while_attached_and_is_as_found_after_close():
    model, batch, _ = classifier_and_batch()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    inspector = rw.RNNInspector(model)
    copied = copy.deepcopy(model)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    expected = model(*batch)
    seen = inspector.recording
    for other in (copied, loaded):
        assert torch.equal(other(*batch), expected)
    assert inspector.recording is seen
    ask(inspector, 1, {"forget_gate": {"kind": "shift", "value": 1.0}})
    inspector.close()
    inspector.close()
    assert torch.equal(torch.get_rng_state(), random)
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._forward_hooks_always_called
        assert not module._forward_pre_hooks_with_kwargs
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name])


def test_a_layer_that_is_called_from_states_of_its_own_each_time_is_said_to_be_the_last_of_many(inspect):
    class Masked(nn.Module):
        """Resets its state where an episode ended, as recurrent policies do."""

        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(3, 4)

        def forward(self, x, going_on):
            state = tuple(x.new_zeros(1, x.size(1), 4) for _ in range(2))
            for now, mask in zip(x, going_on, strict=True):
                _, state = self.lstm(now[None], tuple(mask[:, None] * each for each in state))
            return state[0]

    inspector = inspect(Masked(), inputs=(torch.randn(7, 2, 3), torch.ones(7, 2)))
    assert frame_of(inspector)["calls"] == 7
    assert "lstm.l0 (7 calls)" in repr(inspector)
    assert frame_of(inspect(nn.LSTM(3, 4), inputs=torch.randn(7, 2, 3)))["calls"] == 1


def test_the_text_form_is_true():
    model, _, _ = classifier_and_batch()
    inspector = rw.RNNInspector(model)
    assert "lstm.l0 (lstm, 5 units)" in repr(inspector)
    assert "waiting for a call" in repr(inspector)
    bundle = inspector._repr_mimebundle_()
    assert bundle["text/plain"] == repr(inspector)
    inspector.close()
    assert "closed" in repr(inspector)


@pytest.mark.parametrize(
    ("keywords", "error", "told"),
    [
        ({"tokens": [["a", "b"]]}, ValueError, "tokens hold 1 sequence, the model read 3"),
        ({"tokens": [["a"] * 7, ["b"] * 4, ["c"] * 5]}, ValueError, r"tokens\[1\] has 4 tokens, the model read 3"),
        ({"tokens": []}, ValueError, "empty"),
        ({"tokens": "text"}, TypeError, "list of strings"),
        ({"tokens": [["a", 3]]}, TypeError, r"tokens\[0\] holds 3"),
    ],
)
def test_bad_tokens_are_refused_before_anything_is_attached(keywords, error, told):
    model, batch, _ = classifier_and_batch()
    with pytest.raises(error, match=told):
        rw.RNNInspector(model, inputs=batch, **keywords)
    assert not model.lstm._forward_hooks
    assert not model._forward_hooks


def test_bad_models_are_refused():
    with pytest.raises(ValueError, match="found Linear"):
        rw.RNNInspector(nn.Linear(2, 2))
    with pytest.raises(TypeError, match=r"torch\.nn\.Module"):
        rw.RNNInspector("model")


@pytest.mark.parametrize(
    ("trait", "value", "error"),
    [
        ("layer", "l7", KeyError),
        ("sequence", 3, IndexError),
        ("sequence", -1, IndexError),
        ("units", [5], IndexError),
        ("site", "update_gate", KeyError),
        ("steps", (3, 2), IndexError),
        ("steps", "all", TypeError),
        ("edits", [rw.shift("f", 1.0, units=[9])], IndexError),
        ("edits", [rw.shift("z", 1.0)], KeyError),
    ],
)
def test_a_bad_trait_is_refused_and_changes_nothing(inspect, trait, value, error):
    model, batch, _ = classifier_and_batch()
    inspector = inspect(model, inputs=batch)
    kept = getattr(inspector, trait)
    with pytest.raises(error):
        setattr(inspector, trait, value)
    assert getattr(inspector, trait) == kept


def test_an_uncopyable_model_is_run_itself_and_says_so(inspect):
    class Hoarder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.RNN(3, 4)
            self.guard, self.part = threading.Lock(), Numbered(1)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            with self.guard:
                self.calls += 1
                return self.rnn(x)[0][-1]

    model = Hoarder()
    x = torch.randn(5, 1, 3)
    model(x)
    calls = model.calls.clone()
    inspector = inspect(model, inputs=x)
    assert "cannot be copied" in inspector._page.score._status["message"]
    ask(inspector, 1, {"hidden": {"kind": "shift", "value": 1.0}})
    assert torch.equal(model.calls, calls)
    with rw.edited(model, rw.shift("hidden", 1.0)):
        assert torch.equal(inspector.output, model(x))


def test_edits_are_set_as_a_whole(inspect):
    inspector = inspect(nn.LSTM(3, 4), inputs=torch.randn(5, 1, 3))
    inspector.edits = [rw.clamp("f", 1.0)]
    kept = list(inspector.edits)
    for change in (
        lambda edits: edits.append(rw.lesion([0])),
        lambda edits: edits.extend([]),
        lambda edits: edits.clear(),
        lambda edits: edits.pop(),
        lambda edits: edits.__setitem__(0, rw.lesion([0])),
        lambda edits: edits.__iadd__([rw.lesion([0])]),
    ):
        with pytest.raises(TypeError, match=r"inspector.edits = \[\*inspector.edits"):
            change(inspector.edits)
    assert inspector.edits == kept
    assert copy.deepcopy(inspector.edits) == pickle.loads(pickle.dumps(inspector.edits)) == kept  # noqa: S301 - ours
    inspector.edits = [*inspector.edits, rw.lesion([0])]
    assert len(inspector.edits) == 2


def test_the_call_after_one_that_failed_is_shown_once_the_edits_are_others(inspect):
    model, x = nn.LSTM(3, 4), torch.randn(5, 2, 3)
    inspector = inspect(model)
    inspector._capture._pause = 1e6
    inspector.edits = [rw.clamp("f", 1.0, batch=[5])]
    for _ in range(8):
        model(x)
    assert "IndexError" in inspector._page.score._status["message"]
    inspector.edits = [rw.clamp("f", 1.0)]
    model(x)
    assert inspector._page.score._status["state"] == "ready"
    assert inspector.output is not None


def test_the_last_of_two_calls_is_shown_and_a_loop_is_sampled(inspect):
    model = nn.LSTM(3, 4)
    inspector = inspect(model)
    inspector._capture._pause = 1e6
    first, second = torch.randn(5, 2, 3), torch.randn(5, 2, 3)
    model(first)
    model(second)
    assert torch.equal(inspector.output[0], model(second)[0])
    shown = inspector.output
    for _ in range(20):
        model(first)
    assert inspector.output is shown


class Headed(nn.Module):
    """The gradient of its states goes through the head's weights."""

    def __init__(self, *, copied: bool):
        super().__init__()
        self.rnn, self.head = nn.LSTM(3, 4), nn.Linear(4, 2)
        self.part = nn.Identity() if copied else Numbered(1)

    def forward(self, x):
        return self.head(self.rnn(x)[0])


def stepped_in_its_loss(inspect, model):
    """An inspector of a model that another thread steps between forward and backward, once."""
    moves = []

    def loss(output):
        if moves and moves.pop():
            thread = threading.Thread(target=step)
            thread.start()
            thread.join()
        return output.square().sum()

    def step():
        with torch.no_grad():
            model.head.weight.mul_(1.5)

    inspector = inspect(model, inputs=torch.randn(5, 2, 3), loss=loss)
    moves.append(1)
    return inspector, moves


def test_a_gradient_beside_a_training_loop_is_tried_again(inspect, monkeypatch):
    apart = []
    still = Twin.still
    monkeypatch.setattr(Twin, "still", lambda twin: (apart.append(twin), still(twin))[1])
    inspector, moves = stepped_in_its_loss(inspect, Headed(copied=True))
    inspector.edits = [rw.scale("f", 0.5)]
    assert not moves
    assert len(apart) == 1
    assert inspector._page.score._status["state"] == "ready"


class Shell:
    def __init__(self):
        self.events = self
        self.callbacks = {"post_run_cell": []}

    def register(self, event, callback):
        self.callbacks[event].append(callback)

    def unregister(self, event, callback):
        self.callbacks[event].remove(callback)

    def end_of_cell(self):
        for callback in list(self.callbacks["post_run_cell"]):
            callback(None)


def test_a_cell_that_trains_the_model_renews_the_picture(inspect, monkeypatch):
    shell = Shell()
    monkeypatch.setattr("rnnwidget.widgets.after_cells.get_ipython", lambda: shell)
    model, x = nn.LSTM(3, 4), torch.randn(5, 2, 3)
    inspector = inspect(model, inputs=x)
    inspector.edits = [rw.clamp("f", 1.0)]
    shown = inspector.output
    shell.end_of_cell()
    assert inspector.output is shown
    with torch.no_grad():
        model.weight_hh_l0.mul_(2)
    shell.end_of_cell()
    assert inspector.output is shown  # nobody looks
    inspector._page.score._drawn = inspector._page._version
    shell.end_of_cell()
    assert torch.equal(inspector.baseline_output[0], model(x)[0])
    assert inspector.edits == [rw.clamp("f", 1.0)]
    inspector.close()
    assert shell.callbacks["post_run_cell"] == []


def test_the_first_call_of_every_cell_is_shown(inspect, monkeypatch):
    shell = Shell()
    monkeypatch.setattr("rnnwidget.widgets.after_cells.get_ipython", lambda: shell)
    model = nn.LSTM(3, 4)
    inspector = inspect(model)
    inspector._capture._pause = 1e6
    for steps in (5, 6, 7):
        for _ in range(20):
            model(torch.randn(steps, 2, 3))
        assert frame_of(inspector)["steps"] == steps
        model(torch.randn(9, 2, 3))
        assert frame_of(inspector)["steps"] == steps
        shell.end_of_cell()


def test_one_step_of_one_sequence_is_shown_without_a_warning(inspect):
    inspector = inspect(nn.LSTM(3, 4), inputs=torch.randn(1, 1, 3))
    assert frame_of(inspector)["steps"] == 1
    assert frame_of(inspector)["trace"]["unit"] == 0


def test_an_inspector_that_is_gone_leaves_no_callback(monkeypatch):
    shell = Shell()
    monkeypatch.setattr("rnnwidget.widgets.after_cells.get_ipython", lambda: shell)

    class Looker:
        def look(self):
            raise AssertionError

    looker = Looker()
    after_each_cell(looker.look)
    del looker
    gc.collect()
    shell.end_of_cell()
    assert shell.callbacks["post_run_cell"] == []


def test_a_gradient_that_cannot_be_tried_again_says_what_pytorch_says(inspect):
    inspector, _ = stepped_in_its_loss(inspect, Headed(copied=False))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        inspector.edits = [rw.scale("f", 0.5)]
    assert inspector.edits == []
