"""A copy of a network for evaluation alone: frozen, and with fewer passes over memory."""

from copy import deepcopy

import torch
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def frozen_copy(network: nn.Module) -> nn.Module:
    """The same function in evaluation mode; the network itself is not touched.

    A batch normalisation right after a convolution is folded into it,

        γ (W∗x + b − μ) / √(σ² + ε) + β = W'∗x + b',

    which is equal but for rounding and leaves the convolution's modules where they were, so that
    a stage keeps its name and can be hooked.

    Args:
        network: one whose forward pass torch.fx can trace, like every torchvision ResNet.

    Returns:
        A copy that shares no tensor with the network; no parameter requires a gradient.
    """
    copy = deepcopy(network).eval().requires_grad_(requires_grad=False)
    calls = fx.symbolic_trace(copy).graph.find_nodes(op="call_module")
    for call in calls:
        before = call.args[0]
        follows_call = isinstance(before, fx.Node) and before.op == "call_module"
        if not follows_call or len(before.users) > 1:
            continue
        convolution = copy.get_submodule(str(before.target))
        normalisation = copy.get_submodule(str(call.target))
        if isinstance(convolution, nn.Conv2d) and isinstance(normalisation, nn.BatchNorm2d):
            folded = fuse_conv_bn_eval(convolution, normalisation)
            copy.set_submodule(str(before.target), folded.requires_grad_(requires_grad=False))
            copy.set_submodule(str(call.target), nn.Identity().eval())
    return copy.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
