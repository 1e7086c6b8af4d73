"""What a loss asks of its inputs; an error names the tensor."""

import torch
from torch import Tensor


def require_finite(loss: str, **tensors: Tensor) -> None:
    """Nothing may be NaN or infinite.

    A GPU would have to wait for the look: there the training loop looks at the losses instead.

    Raises:
        ValueError: names the first tensor that is not finite, and how much of it.
    """
    for name, tensor in tensors.items():
        if tensor.device.type == "cpu" and not torch.isfinite(tensor.detach().sum()):
            count = int((~torch.isfinite(tensor)).sum())
            if count:
                raise ValueError(
                    f"{loss} got {name} {list(tensor.shape)} with {count} values that are NaN or "
                    "infinite; training has diverged: lower training.learning_rate, set "
                    "training.clip_norm=0.5, or use training.precision=32"
                )


def require_rows(loss: str, labels: Tensor, rows: int, names: tuple[str, str]) -> None:
    """Every label must be the index of a row.

    Args:
        loss: who asks.
        labels: indices.
        rows: how many there are.
        names: of the labels and of what has the rows.

    Raises:
        ValueError: names the first label that is none; on a CPU alone, see `require_finite`.
    """
    if labels.device.type != "cpu" or not labels.numel():
        return
    outside = labels[(labels < 0) | (labels >= rows)]
    if len(outside):
        raise ValueError(
            f"{loss} got {names[0]} with {int(outside[0])}, but {names[1]} has {rows} rows; "
            f"indices must be in 0 to {rows - 1}"
        )
