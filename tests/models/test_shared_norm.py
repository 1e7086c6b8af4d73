"""Batch normalisation over processes against torch's own over the whole batch."""

from pathlib import Path

import torch
from torch import Tensor, distributed, multiprocessing, nn

from lico.models.shared_norm import normalise_alone, normalise_over_all_processes

PARTS = (3, 2)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()).double()


def images() -> Tensor:
    return torch.randn(5, 3, 6, 6, generator=torch.Generator().manual_seed(1)).double()


def results(net: nn.Module, x: Tensor, scale: float) -> dict[str, Tensor]:
    """Output, gradients of a loss and of the norm of its gradient, and running statistics."""
    x = x.clone().requires_grad_()
    out = net(x)
    loss = (out * torch.arange(out.shape[1])).square().sum() / 1e4 * scale
    (first,) = torch.autograd.grad(loss, x, create_graph=True)
    loss = loss + first.square().sum()
    loss.backward()
    named = {name: p.grad for name, p in net.named_parameters()}
    return named | {"out": out.detach(), "x": x.grad} | dict(net.named_buffers())


def process(rank: int, folder: Path) -> None:
    store = f"file://{folder}/store"
    distributed.init_process_group("gloo", store, rank=rank, world_size=len(PARTS))
    net = normalise_over_all_processes(network(), torch.device("cpu"))
    found = results(net, images().split(PARTS)[rank], 1.0)
    for name, parameter in net.named_parameters():
        distributed.all_reduce(found[name])
        assert parameter.grad is not None
    torch.save(found, folder / f"{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_normalise_as_one_with_all_images(tmp_path: Path) -> None:
    """Values, gradients, gradients of gradients, and statistics for evaluation."""
    multiprocessing.spawn(process, (tmp_path,), nprocs=len(PARTS))
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in range(len(PARTS))]
    whole = results(network(), images(), 1.0)
    for name in ("out", "x"):
        together = torch.cat([part[name] for part in parts])
        torch.testing.assert_close(together, whole[name], rtol=1e-9, atol=1e-12)
    for part in parts:
        for name in whole.keys() - {"out", "x"}:
            torch.testing.assert_close(part[name], whole[name], rtol=1e-9, atol=1e-12, msg=name)


def test_in_evaluation_and_by_name_it_is_the_plain_one() -> None:
    plain = network()
    shared = normalise_over_all_processes(network(), torch.device("cpu"))
    assert shared.state_dict().keys() == plain.state_dict().keys()
    alone = normalise_alone(shared)
    assert type(alone[1]) is nn.BatchNorm2d
    with torch.no_grad():
        torch.testing.assert_close(alone.eval()(images()), plain.eval()(images()))
