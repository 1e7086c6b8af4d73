"""What a CUDA graph does, on a processor: operations are recorded once and replayed in place.

As on a GPU, a replay does the recorded operations on the recorded memory; nothing of Python runs
again. A number that was read, a shape or a tensor that came from elsewhere stays as it was.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten


class Tape(TorchDispatchMode):
    """Records operations while it is on; kernels put themselves on it."""

    recording: ClassVar["Tape | None"] = None

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Callable[[], None]] = []

    def __enter__(self) -> "Tape":
        Tape.recording = self
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        Tape.recording = None
        super().__exit__(*error)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        storages = {_storage(x) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}

        def again() -> None:
            made = func(*args, **kwargs)
            for old, new in zip(tree_leaves(result), tree_leaves(made), strict=True):
                if isinstance(old, Tensor) and _storage(old) not in storages:
                    old.copy_(new)

        if "empty" not in func.__name__:  # memory is reserved once
            self.calls.append(again)
        return result

    def replay(self) -> None:
        """All of it again."""
        with torch.no_grad():
            for call in self.calls:
                call()


class RecordedKernel:
    """One of Triton's, which writes where it is told."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel

    def __getitem__(self, grid: tuple[int, ...]) -> Callable[..., None]:
        def launch(*args: Any, **options: Any) -> None:
            self.kernel[grid](*args, **options)
            if Tape.recording is not None:
                Tape.recording.calls.append(lambda: self.kernel[grid](*args, **options))

        return launch


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def make_graphed_callables(
    module: nn.Module, inputs: tuple[Tensor, ...], **_: Any
) -> Callable[..., Any]:
    """As `torch.cuda.make_graphed_callables` does it."""
    parameters = tuple(module.parameters())
    surface = [each for each in (*inputs, *parameters) if each.requires_grad]
    with Tape() as forward:
        outputs, spec = tree_flatten(module(*inputs))
    known = [each for each in outputs if each.requires_grad]
    of_outputs = [torch.zeros_like(each) for each in known]
    with Tape() as backward:
        grads = torch.autograd.grad(known, surface, of_outputs, allow_unused=True)

    class Graphed(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
            with torch.no_grad():
                for mine, theirs in zip(inputs, tensors, strict=False):
                    mine.copy_(theirs)
            forward.replay()
            return tuple(each.detach() for each in outputs)

        @staticmethod
        def backward(ctx: Any, *given: Tensor) -> tuple[Tensor | None, ...]:
            wanted = [g for g, each in zip(given, outputs, strict=True) if each.requires_grad]
            for mine, theirs in zip(of_outputs, wanted, strict=True):
                mine.copy_(theirs)
            backward.replay()
            found = iter(grads)
            return tuple(
                next(found) if each.requires_grad else None for each in (*inputs, *parameters)
            )

    def replayed(*tensors: Tensor) -> Any:
        return tree_unflatten(list(Graphed.apply(*tensors, *parameters)), spec)

    return replayed
