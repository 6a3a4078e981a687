"""Which families there are, and which modules of a person's own are recurrent layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from rnnwidget.cells.activations import RANGES
from rnnwidget.cells.family import Family
from rnnwidget.cells.gru import gru
from rnnwidget.cells.lstm import lstm
from rnnwidget.cells.rnn import rnn
from rnnwidget.cells.step_family import Nonlinearity, Step, StepFamily

RESERVED = frozenset({"time", "batch", "unit", "feature", "inputs", "lengths", "tokens", "condition"})

Takes = Callable[..., tuple[Tensor, Any]]
Returns = Callable[[Any], tuple[Tensor, Any]]
Readout = Callable[[Any, Tensor], Any]


@dataclass(frozen=True)
class Registration:
    """A module class that is a recurrent layer, and how to read its calls.

    ``takes(module, *arguments, **keywords)`` gives the input and the initial states or None; ``returns(output)`` gives
    the hidden states of every step and the final states or None. None for either means the usual order.
    """

    module_class: type[nn.Module]
    family: StepFamily
    batch_first: bool | None = None
    takes: Takes | None = None
    returns: Returns | None = None
    readout: Readout | None = None


_families: dict[str, Family] = {family.name: family for family in (lstm, gru, rnn)}
_registrations: dict[type[nn.Module], Registration] = {}


def register(
    module_class: type[nn.Module],
    *,
    name: str | None = None,
    states: tuple[str, ...] = ("hidden",),
    gates: Mapping[str, Nonlinearity] | None = None,
    letters: Mapping[str, str] | None = None,
    batch_first: bool | None = None,
    takes: Takes | None = None,
    returns: Returns | None = None,
    readout: Readout | None = None,
) -> Callable[[Step], Step]:
    """Open a recurrent layer of your own: decorates the mathematics of one step of ``module_class``.

    The step gets ``(module, x, state, at)``: the module (or a copy of it), the input (batch, feature), and the state,
    or the tuple of states, before the step, each (batch, unit). It returns the new state or states, hidden state first.
    ``at.gate(name, preactivation)`` applies a gate's nonlinearity and lets it be seen and edited; ``at.state(name,
    value)`` lets a state that the rest of the step reads, such as an LSTM's cell, be edited before it is read. A step
    treats the rows of a batch independently. The class itself is not touched, and its subclasses are opened too.

    Parameters
    ----------
    name
        What ``layer.family`` says; the class's name in lower case if None.
    states, gates
        Names of the states, hidden state first, and the nonlinearity of each gate: ``"sigmoid"``, ``"tanh"``,
        ``"relu"`` or ``"identity"``, or a function of the module that gives one of these. A state behind a nonlinearity
        of its own may be named among the gates as well.
    letters
        Short names, each by the name of its gate or state: ``{"drive": "d"}``. Those left out have their first letter,
        where no other begins with it.
    batch_first
        Whether a sequence is (batch, time, feature); the module's own ``batch_first``, else False, if None.
    takes
        Where the module is called otherwise than ``module(x)`` or ``module(x, state)``: a function of it and its
        arguments that returns ``(x, state or None)``.
    returns
        Where it returns something else than the new states after one step, or ``(output, state)`` or the output alone
        after a sequence, the output being the hidden state of every step: a function of what it returns that gives
        ``(hidden states, final state or None)``.

    readout
        Where it returns something beside its states, such as a readout inside the same class: a function of the module
        and the hidden states, as it returns them, that gives what is beside them, without the states:
        ``readout=lambda module, hidden: module.read(hidden)`` where ``forward`` returns ``(module.read(hidden),
        hidden)``. Edits reach it that way, and gradients come back. What depends on the input too, or on the state
        before the step, is no readout: such a layer is recorded, and edits and gradients need it computed outside.

    A layer whose states are maps rather than rows of units, such as a ConvLSTM's, cannot be opened.

    A network with noise in its loop is shown without it, and ``replay_error`` says how much that is: pass the noise in
    as an input, and the step sees it too.

    Raises
    ------
    TypeError
        ``module_class`` is no class of modules, or ``gates`` is no mapping.
    ValueError
        A name or a nonlinearity will not do, the message lists what will; or the class is PyTorch's own.

    Examples
    --------
    >>> import torch, rnnwidget as rw
    >>> class CTRNN(torch.nn.Module):
    ...     def __init__(self, inputs, units, alpha):
    ...         super().__init__()
    ...         self.input2h, self.h2h = torch.nn.Linear(inputs, units), torch.nn.Linear(units, units)
    ...         self.alpha = alpha
    ...     def forward(self, x):
    ...         h, output = x.new_zeros(x.size(1), self.h2h.in_features), []
    ...         for x_t in x:
    ...             h = (1 - self.alpha) * h + self.alpha * torch.relu(self.input2h(x_t) + self.h2h(h))
    ...             output.append(h)
    ...         return torch.stack(output), h
    >>> @rw.register(CTRNN, gates={"drive": "relu"})
    ... def step(module, x, h, at):
    ...     drive = at.gate("drive", module.input2h(x) + module.h2h(h))
    ...     return (1 - module.alpha) * h + module.alpha * drive
    >>> model = CTRNN(3, 4, alpha=0.1)
    >>> with rw.record(model) as recording:
    ...     _ = model(torch.randn(6, 2, 3))
    >>> recording["cell"]["drive"].shape, recording["cell"].replay_error < 1e-5
    (torch.Size([6, 2, 4]), True)
    """
    if not (isinstance(module_class, type) and issubclass(module_class, nn.Module)):
        raise TypeError(f"register takes a class of torch.nn.Module, got {module_class!r:.80}")
    _check(module_class, states, gates or {})
    _check_letters(module_class, (*states, *(gates or {})), letters or {})

    def decorate(step: Step) -> Step:
        family = StepFamily(
            name or module_class.__name__.lower(), step, states=tuple(states), gates=gates, letters=letters
        )
        known = _families.get(family.name)
        if known is not None and not _may_replace(known, module_class):
            raise ValueError(
                f"a family is already named {family.name!r}: choose another name=; known: {', '.join(_families)}"
            )
        _families[family.name] = family
        _registrations[module_class] = Registration(module_class, family, batch_first, takes, returns, readout)
        return step

    return decorate


def registration_of(module: nn.Module) -> Registration | None:
    """How the nearest registered class of ``module`` is read, None if there is none."""
    for kind in type(module).__mro__:
        if kind in _registrations:
            found = _registrations[kind]
            return replace(found, family=found.family.of(module))
    return None


def registered_names() -> set[str]:
    """What the registered classes are called."""
    return {kind.__name__ for kind in _registrations}


def family_named(name: str) -> Family:
    """The family under ``name``; KeyError with the known names otherwise."""
    if name not in _families:
        raise KeyError(f"no recurrent family is named {name!r}; known: {', '.join(sorted(_families))}")
    return _families[name]


def families() -> tuple[Family, ...]:
    """Every family there is."""
    return tuple(_families.values())


def _may_replace(known: Family, module_class: type[nn.Module]) -> bool:
    """A notebook cell that is run again registers its class again, which is a new class of the old name."""
    return any(
        other.family is known and other.module_class.__qualname__ == module_class.__qualname__
        for other in _registrations.values()
    )


def _check(
    module_class: type[nn.Module],
    states: tuple[str, ...],
    gates: Mapping[str, Nonlinearity],
) -> None:
    if module_class.__module__.startswith("torch."):
        raise ValueError(f"{module_class.__name__} is PyTorch's own: register a class of yours, such as a subclass")
    if not isinstance(gates, Mapping):
        raise TypeError(f'gates are names with nonlinearities, such as {{"drive": "relu"}}; got {gates!r:.80}')
    if isinstance(states, str) or not states or states[0] != "hidden":
        raise ValueError(f"states are names that begin with 'hidden', what the layer hands on; got {states!r}")
    names = [*states, *(gate for gate in gates if gate not in states)]
    if any(not isinstance(site, str) or not site.isidentifier() for site in names) or len(set(states)) < len(states):
        raise ValueError(f"gates and states need names of their own such as 'update_gate', got {names}")
    taken = [site for site in names if site in RESERVED]
    if taken:
        raise ValueError(
            f"{module_class.__name__}: {', '.join(taken)} would meet what a recording calls so itself, beside "
            f"{', '.join(sorted(RESERVED - set(taken)))}: choose another name"
        )
    odd = {site: kind for site, kind in gates.items() if not callable(kind) and kind not in tuple(RANGES)}
    if odd:
        raise ValueError(f"{module_class.__name__}: nonlinearities are {', '.join(RANGES)}; got {odd}")


def _check_letters(module_class: type[nn.Module], names: tuple[str, ...], letters: Mapping[str, str]) -> None:
    such_as = f'letters are given by names, such as {{"{names[-1]}": "{names[-1][0]}"}}'
    if not isinstance(letters, Mapping):
        raise TypeError(f"{module_class.__name__}: {such_as}; got {letters!r:.80}")
    known = ", ".join(dict.fromkeys(names))
    strange = [site for site in letters if site not in names]
    if strange:
        raise ValueError(f"{module_class.__name__}: letters for {strange}, but its sites are {known}; {such_as}")
    odd = [letter for letter in letters.values() if not isinstance(letter, str)]
    if odd:
        raise TypeError(f"{module_class.__name__}: {such_as}; got {odd[0]!r:.80} for a letter")
