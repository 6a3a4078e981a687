"""Hooks that a copy or a pickle of a model carries along without effect."""

from __future__ import annotations

import contextlib
from typing import Any

from torch import nn


class ModelHook:
    """A hook without state: it looks its module up when called, so a copy of it finds nothing and does nothing."""

    def __deepcopy__(self, memo: dict[int, Any]) -> ModelHook:
        return type(self)()

    def __reduce__(self) -> Any:
        # Any callable that takes what it is given and returns None; a builtin one loads where rnnwidget is missing.
        return getattr, (contextlib.nullcontext(), "__exit__")


def without_hooks(copied: nn.Module) -> nn.Module:
    """Take the inert copies of our hooks off a copied model."""
    for module in copied.modules():
        for hooks in (module._forward_pre_hooks, module._forward_hooks):
            for key in [key for key, hook in hooks.items() if isinstance(hook, ModelHook)]:
                del hooks[key]
                module._forward_pre_hooks_with_kwargs.pop(key, None)
                module._forward_hooks_always_called.pop(key, None)
    return copied
