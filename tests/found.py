"""Everything about a model, and about the process, that has to be found again as it was."""

import copy

import torch
from torch import nn

_HOOKS = [
    "_forward_hooks",
    "_forward_pre_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
]


def bits(tensor: torch.Tensor | None) -> object:
    if tensor is None:
        return None
    return tensor.dtype, tuple(tensor.shape), tensor.detach().numpy().tobytes()


def found(model: nn.Module) -> dict[str, object]:
    """A picture of ``model`` that compares equal only to the same picture, bit for bit."""
    everything: dict[str, object] = {
        "random": torch.get_rng_state().numpy().tobytes(),
        "grad mode": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "cudnn": tuple(
            getattr(torch.backends.cudnn, flag) for flag in ("enabled", "benchmark", "deterministic", "allow_tf32")
        ),
        "function modes": [id(mode) for mode in torch.overrides._get_current_function_mode_stack()],
        "modules": [(path, id(module)) for path, module in model.named_modules()],
    }
    for path, module in model.named_modules():
        everything[f"{path} hooks"] = {name: dict(getattr(module, name)) for name in _HOOKS}
        everything[f"{path} training"] = module.training
        everything[f"{path} names"] = sorted(vars(module))
        if isinstance(module, nn.RNNBase):
            everything[f"{path} flat"] = [id(weight) for weight in module._flat_weights]
    for path, parameter in model.named_parameters():
        everything[path] = (
            id(parameter),
            parameter.data_ptr(),
            parameter._version,
            parameter.requires_grad,
            bits(parameter),
            id(parameter.grad),
            bits(parameter.grad),
            copy.copy(parameter._backward_hooks),
        )
    for path, buffer in model.named_buffers():
        everything[path] = (id(buffer), buffer.data_ptr(), bits(buffer))
    return everything
