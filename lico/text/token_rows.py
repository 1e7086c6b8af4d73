"""A CLIP state dict without the vocabulary rows that nothing uses, and back."""

import torch
from jaxtyping import Int64
from torch import Tensor

EMBEDDING = "token_embedding.weight"
TOKEN_IDS = "token_ids"  # noqa: S105 (tokens of text)


def compact(state: dict[str, Tensor], token_ids: Int64[Tensor, " rows"]) -> dict[str, Tensor]:
    """Keep the embedding's rows of some tokens, and say which they are.

    Args:
        state: of an open_clip CLIP, its `token_embedding.weight` [vocab, width].
        token_ids: which rows to keep, ascending.

    Returns:
        The state with `token_embedding.weight` [rows, width] and `token_ids` [rows].

    Raises:
        ValueError: if the state is compact already or has no embedding, or the ids are not
            ascending rows of it.
    """
    if TOKEN_IDS in state:
        raise ValueError(f"the state dict is compact already: it has {TOKEN_IDS}; expand it first")
    embedding = _embedding(state)
    _check_ids(token_ids, embedding.shape[0])
    return state | {EMBEDDING: embedding[token_ids], TOKEN_IDS: token_ids}


def expand(state: dict[str, Tensor], vocab_size: int) -> dict[str, Tensor]:
    """The inverse of `compact`; rows that were dropped are zero.

    Args:
        state: a compact state: `token_embedding.weight` [rows, width], `token_ids` [rows].
        vocab_size: rows of the whole embedding.

    Returns:
        A state that an open_clip CLIP loads: `token_embedding.weight` [vocab_size, width], no
        `token_ids`.

    Raises:
        ValueError: if the state is not compact, or its ids do not fit its rows or `vocab_size`.
    """
    if TOKEN_IDS not in state:
        raise ValueError(f"the state dict has no {TOKEN_IDS}: it is not compact; load it as it is")
    rows, token_ids = _embedding(state), state[TOKEN_IDS]
    _check_ids(token_ids, vocab_size)
    if rows.shape[0] != token_ids.shape[0]:
        raise ValueError(
            f"{EMBEDDING} has {rows.shape[0]} rows for {token_ids.shape[0]} {TOKEN_IDS}; there "
            "must be one id a row"
        )
    embedding = torch.zeros(vocab_size, rows.shape[1], dtype=rows.dtype)
    embedding[token_ids] = rows
    whole = state | {EMBEDDING: embedding}
    del whole[TOKEN_IDS]
    return whole


def _embedding(state: dict[str, Tensor]) -> Tensor:
    if EMBEDDING not in state:
        raise ValueError(f"the state dict has no {EMBEDDING}; it must be that of an open_clip CLIP")
    return state[EMBEDDING]


def _check_ids(token_ids: Tensor, vocab_size: int) -> None:
    if token_ids.dtype != torch.int64 or token_ids.ndim != 1 or token_ids.numel() == 0:
        raise ValueError(
            f"{TOKEN_IDS} is {token_ids.dtype} of shape {list(token_ids.shape)}; it must be a "
            "list of int64 with at least one id"
        )
    lowest, highest = int(token_ids.min()), int(token_ids.max())
    if lowest < 0 or highest >= vocab_size:
        raise ValueError(
            f"{TOKEN_IDS} has {lowest} to {highest}; ids must be in 0 to {vocab_size - 1}"
        )
    if not bool((token_ids[1:] > token_ids[:-1]).all()):
        raise ValueError(f"{TOKEN_IDS} must ascend, each id once")
