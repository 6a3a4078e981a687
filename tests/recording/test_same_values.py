"""What is compared again and again is compared as if it were for the first time."""

import copy
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from rnnwidget.recording.same_values import KnownValues, same_values


def made(dtype: torch.dtype, kind: str) -> Tensor:
    tensor = torch.arange(12).view(3, 4).to(dtype)
    match kind:
        case "nan":
            tensor = tensor.float()
            tensor[1, 2] = torch.nan
        case "last":
            tensor[-1, -1] += 1
        case "transposed":
            tensor = tensor.t().contiguous().t()
        case "turned":
            tensor = tensor.view(4, 3)
        case "parameter":
            return nn.Parameter(tensor, requires_grad=False)
        case "empty":
            return tensor[:0]
        case "every other":
            tensor = torch.stack([tensor, tensor], dim=-1)[..., 0]
    return tensor


KINDS = ["plain", "nan", "last", "transposed", "turned", "parameter", "empty", "every other"]
tensors = st.builds(made, st.sampled_from([torch.float32, torch.float64, torch.int32]), st.sampled_from(KINDS))


@given(tensors, tensors)
def test_known_values_are_told_as_any_are(one: Tensor, other: Tensor) -> None:
    expected = same_values(one, other)
    forms_alike = one.shape == other.shape and one.dtype == other.dtype
    assert expected == (forms_alike and torch.equal(one.nan_to_num(99), other.nan_to_num(99)))
    assert KnownValues(one).are_in(other) == expected
    assert KnownValues(one).are_those_of(KnownValues(other)) == expected


def test_what_is_moved_to_memory_shared_with_another_process_is_found_there() -> None:
    tensor, like = torch.ones(2**20), torch.ones(2**20)
    known, other = KnownValues(tensor), KnownValues(like)
    tensor.share_memory_()
    assert known.are_in(like)
    assert known.are_those_of(other)
    tensor[-1] = 2
    assert not known.are_in(like)
    assert not other.are_those_of(known)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda known: pickle.loads(pickle.dumps(known))])  # noqa: S301 - ours
def test_a_copy_is_of_its_own_memory(copied) -> None:
    tensor = torch.ones(64)
    known, like = copied(KnownValues(tensor)), torch.ones(64)
    tensor.zero_()
    assert known.are_in(like)
    assert known.are_those_of(KnownValues(like))
    assert not known.are_in(tensor)


def test_what_is_written_into_is_seen() -> None:
    tensor = torch.zeros(8)
    known, other = KnownValues(tensor), KnownValues(torch.zeros(8))
    assert known.are_those_of(other)
    tensor[7] = 1
    assert not known.are_those_of(other)
    assert not other.are_in(tensor)
