"""A function of tensors as CUDA graphs: its launches and those of its gradient become two."""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

Outputs = dict[str, Tensor]


class Replayed:
    """Captured at the first call, replayed by later ones with tensors of the same forms.

    The function may depend on nothing that changes but the tensors it is given and the parameters
    it uses, and may not look at any number. Its outputs are overwritten by the next call.
    """

    def __init__(self, function: Callable[..., Outputs], trained: list[nn.Module]) -> None:
        """Take the function.

        Args:
            function: of tensors.
            trained: modules whose parameters it uses.
        """
        self._function = function
        self._trained = trained
        self._captured: tuple[list[Any], Callable[..., Outputs]] | None = None

    def __call__(self, *tensors: Tensor) -> Outputs:
        """What the function gives; without gradients and for other forms it is called itself."""
        if not torch.is_grad_enabled():
            return self._function(*tensors)
        forms = [_form(each) for each in tensors]
        if self._captured is None:
            self._captured = forms, _capture(self._function, self._trained, tensors)
        known, replay = self._captured
        return replay(*tensors) if forms == known else self._function(*tensors)


class _Function(nn.Module):
    """A function with the modules whose parameters it uses."""

    def __init__(self, function: Callable[..., Outputs], trained: list[nn.Module]) -> None:
        super().__init__()
        self.function = function
        self.trained = nn.ModuleList(trained)

    def forward(self, *tensors: Tensor) -> Outputs:
        return self.function(*tensors)


def _form(tensor: Tensor) -> tuple[object, ...]:
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device, tensor.requires_grad


def _capture(
    function: Callable[..., Outputs], trained: list[nn.Module], tensors: tuple[Tensor, ...]
) -> Callable[..., Outputs]:
    """Other threads, such as those that read data, may use the device meanwhile.

    Raises:
        RuntimeError: if the device could not capture it.
    """
    device = tensors[0].device.type
    module = _Function(function, trained)
    inputs = tuple(each.detach().clone().requires_grad_(each.requires_grad) for each in tensors)
    try:
        with torch.autocast(
            device,
            torch.get_autocast_dtype(device),
            enabled=torch.is_autocast_enabled(device),
            cache_enabled=False,  # weights that are cast once would be those of the capture
        ):
            replay = torch.cuda.make_graphed_callables(
                module, inputs, allow_unused_input=True, capture_error_mode="thread_local"
            )
    except RuntimeError as error:
        raise RuntimeError(
            f"a step could not be captured as a CUDA graph ({error}); set run.cuda_graphs=false"
        ) from error
    return cast("Callable[..., Outputs]", replay)
