"""What the embedded text encoder reads: captions, and prompts around the names of classes."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from lico.data.sample import Sample
from lico.data.scenes import CLASS_NAMES, COLOURS, COUNT_WORDS, TEMPLATES, TEXTURE_NAMES
from lico.data.shapes import plural
from lico.text.encoder import Tokenizer

PROMPT_SHARE = 0.5  # of the sentences that are read; the others are captions
ZERO_SHOT_PROMPT = "a picture of {}"
OPENINGS = [
    "{}",
    "here you can see {}",
    "this is what the image shows : {}",
    "in this small computer drawing there is {}",
    "the photo that we are looking at here shows {}",
]  # fmt: skip
PROMPTS = [
    ZERO_SHOT_PROMPT,
    "{}",
    "a photo of {}",
    "an image of {}",
    "a drawing of {}",
    "a rendering of {}",
    "a close-up photo of {}",
    "a good photo of {}",
    "a bad photo of {}",
    "a bright photo of {}",
    "a dark photo of {}",
    "a cropped photo of {}",
    "a blurry photo of {}",
    "a small image of {}",
    "a large image of {}",
    "this is a picture of {}",
    "there is {} in the scene",
    "the object in this image is {}",
    "one can clearly see {} in front of the background",
    "the shape that you can see in the middle of it is {}",
]
DETERMINERS = ["a", "the", "one", "some", "my"]


def sentence(sample: Sample, random: np.random.Generator) -> str:
    """The caption of a scene behind some opening or, at times, a prompt with its class alone.

    The openings and prompts differ in length, so that a name's meaning does not depend on its
    place.
    """
    if random.random() >= PROMPT_SHARE:
        return _choose(OPENINGS, random).format(sample.caption)
    count = len(sample.boxes)
    name = CLASS_NAMES[sample.label]
    if count == 1:
        return _choose(PROMPTS, random).format(_singular(name, _choose(DETERMINERS, random)))
    number = _choose([COUNT_WORDS[count - 1], str(count)], random)
    return _choose(PROMPTS, random).format(f"{number} {plural(name)}")


def zero_shot_prompts() -> list[str]:
    """One sentence for each class."""
    return [ZERO_SHOT_PROMPT.format(_singular(name, "a")) for name in CLASS_NAMES]


def tokens_in_use(tokenizer: Tokenizer) -> Int64[Tensor, " rows"]:
    """Every token that a sentence can have, with padding, start and end; ascending.

    The tokenizer splits at spaces first, so the tokens of all parts are those of all sentences.
    """
    ids = {0, tokenizer.sot_token_id, tokenizer.eot_token_id}
    for part in _parts():
        ids.update(tokenizer.encode(part))
    return torch.tensor(sorted(ids))


def tokenize(tokenizer: Tokenizer, texts: list[str]) -> Int64[Tensor, "texts longest"]:
    """Start, tokens, end and padding, as long as the longest text needs."""
    rows = [
        [tokenizer.sot_token_id, *tokenizer.encode(text), tokenizer.eot_token_id] for text in texts
    ]
    longest = max(len(row) for row in rows)
    return torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])


def _parts() -> Iterator[str]:
    yield from (text.format(" ") for text in [*OPENINGS, *PROMPTS])
    yield from (text.format(things=" ", texture=" ") for text in TEMPLATES)
    for words in (CLASS_NAMES, COLOURS, TEXTURE_NAMES, COUNT_WORDS, DETERMINERS):
        yield from words
    yield from (plural(name) for name in CLASS_NAMES)
    yield from ("an", *(str(count + 1) for count in range(len(COUNT_WORDS))))


def _singular(name: str, determiner: str) -> str:
    """Name with determiner, in good English."""
    vowel = name[0] in "aeiou" or name.startswith("hour")
    return f"{'an' if determiner == 'a' and vowel else determiner} {name}"


def _choose(options: list[str], random: np.random.Generator) -> str:
    return options[int(random.integers(len(options)))]
