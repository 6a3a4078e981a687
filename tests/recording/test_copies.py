"""Copies and files made of a model while it is recorded carry nothing of ours that acts."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import torch
from torch import nn

import rnnwidget as rw
from tests.cases import assert_same_bits


def sequential() -> nn.Module:
    torch.manual_seed(0)
    return nn.ModuleDict({"rnn": nn.LSTM(3, 4, num_layers=2), "head": nn.Linear(4, 2)})


X = torch.ones(5, 2, 3)


def acts(module: nn.Module) -> bool:
    """Whether anything of ours happens in a call of ``module``."""
    modes: list[object] = []
    handle = module["rnn"].register_forward_pre_hook(
        lambda *_: modes.extend(torch.overrides._get_current_function_mode_stack())
    )
    module["rnn"](X)
    handle.remove()
    return bool(modes)


def test_a_deep_copy_is_inert_inside_the_block_and_after_it() -> None:
    model = sequential()
    plain, _ = model["rnn"](X)
    with rw.record(model) as recording, rw.edited(model, rw.clamp("f", 0.0)):
        copied = copy.deepcopy(model)
        output, _ = copied["rnn"](X)
        assert not acts(copied)
        assert acts(model)
    assert_same_bits(output, plain)
    assert len(recording.calls("rnn.l0")) == 1
    assert_same_bits(copied["rnn"](X)[0], plain)


def test_a_copy_can_be_recorded_itself() -> None:
    model = sequential()
    with rw.record(model) as outer:
        copied = copy.deepcopy(model)
        with rw.record(copied) as recording:
            copied["rnn"](X)
    assert len(recording.calls("rnn.l0")) == 1
    assert outer.layers == ()


def test_a_saved_model_loads_and_is_inert(tmp_path: Path) -> None:
    model = sequential()
    plain, _ = model["rnn"](X)
    with rw.record(model) as recording, rw.edited(model, rw.clamp("f", 0.0)):
        torch.save(model, tmp_path / "model.pt")
        loaded = torch.load(tmp_path / "model.pt", weights_only=False)
        assert_same_bits(loaded["rnn"](X)[0], plain)
        assert not acts(loaded)
        thawed = pickle.loads(pickle.dumps(model))  # noqa: S301
        assert_same_bits(thawed["rnn"](X)[0], plain)
    assert recording.layers == ()
    with rw.record(loaded) as again:
        loaded["rnn"](X)
    assert len(again.calls("rnn.l0")) == 1


def test_a_saved_model_loads_where_rnnwidget_is_missing(tmp_path: Path) -> None:
    model = sequential()
    with rw.record(model):
        torch.save(model, tmp_path / "model.pt")
    script = (
        "import sys, torch\n"
        "sys.modules['rnnwidget'] = None\n"
        "model = torch.load('model.pt', weights_only=False)\n"
        "with torch.no_grad():\n"
        "    torch.save(model['rnn'](torch.ones(5, 2, 3))[0], 'output.pt')\n"
    )
    subprocess.run([sys.executable, "-I", "-c", script], cwd=tmp_path, check=True)
    with torch.no_grad():
        assert_same_bits(torch.load(tmp_path / "output.pt"), model["rnn"](X)[0])


def test_the_state_dict_is_the_plain_one() -> None:
    model = sequential()
    plain = model.state_dict()
    with rw.record(model):
        assert list(model.state_dict()) == list(plain)
