"""Vocabulary rows that nothing uses are dropped and come back as zeros."""

import pytest
import torch
from torch import Tensor

from lico.text.token_rows import compact, expand

IDS = torch.tensor([0, 2, 5])


def state() -> dict[str, Tensor]:
    embedding = torch.arange(12, dtype=torch.float32).view(6, 2) + 1
    return {"token_embedding.weight": embedding, "ln_final.bias": torch.ones(2)}


def test_compact_keeps_the_rows_and_their_ids() -> None:
    kept = compact(state(), IDS)
    assert kept["token_embedding.weight"].tolist() == [[1, 2], [5, 6], [11, 12]]
    assert torch.equal(kept["token_ids"], IDS)
    assert torch.equal(kept["ln_final.bias"], torch.ones(2))


def test_expand_puts_them_back_and_the_others_at_zero() -> None:
    whole = expand(compact(state(), IDS), 6)
    assert whole.keys() == state().keys()
    expected = [[1, 2], [0, 0], [5, 6], [0, 0], [0, 0], [11, 12]]
    assert whole["token_embedding.weight"].tolist() == expected


def test_neither_changes_what_it_was_given() -> None:
    given = state()
    kept = compact(given, IDS)
    expand(kept, 6)
    assert given.keys() == state().keys()
    assert "token_ids" in kept
    assert kept["token_embedding.weight"].shape == (3, 2)


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (torch.tensor([0, 6]), r"0 to 6; ids must be in 0 to 5"),
        (torch.tensor([-1, 3]), r"-1 to 3"),
        (torch.tensor([2, 1]), "ascend"),
        (torch.tensor([2, 2]), "ascend"),
        (torch.tensor([1.0]), "float32"),
        (torch.empty(0, dtype=torch.int64), "at least one"),
    ],
)
def test_ids_that_are_no_rows_are_refused(ids: Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        compact(state(), ids)
    broken = compact(state(), IDS) | {"token_ids": ids}
    with pytest.raises(ValueError, match=said):
        expand(broken, 6)


def test_the_wrong_kind_of_state_is_named() -> None:
    with pytest.raises(ValueError, match="not compact"):
        expand(state(), 6)
    with pytest.raises(ValueError, match="compact already"):
        compact(compact(state(), IDS), IDS)
    with pytest.raises(ValueError, match=r"no token_embedding\.weight"):
        compact({}, IDS)
    with pytest.raises(ValueError, match="2 rows for 3 token_ids"):
        expand(compact(state(), IDS) | {"token_embedding.weight": torch.ones(2, 2)}, 6)
