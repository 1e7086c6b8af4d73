"""Prompt features with every saving equal open_clip's full forward of the same prompts."""

import open_clip
import pytest
import torch

from lico.config import Prompt
from lico.text.encoder import TextEncoder
from lico.text.labels import tokenize_labels
from lico.text.prompts import Prompts
from lico.text.segments import Segment
from tests.text.towers import (
    NAMES,
    OTHER_TOWERS,
    encoder,
    full_forward,
    literal_prompts,
    own_outputs,
    tower,
)

VARIANTS = [(False, "end"), (True, "end"), (False, "front"), (True, "front")]


def prompts_for(specific: bool, position: str) -> Prompts:
    settings = Prompt(class_specific=specific, label_position=position)  # type: ignore[arg-type]
    text = encoder(tower())
    torch.manual_seed(1)
    return Prompts(text, tokenize_labels(NAMES, text, 12), settings).double()


@pytest.mark.parametrize(("specific", "position"), VARIANTS)
def test_equals_the_full_forward_with_gradients(specific: bool, position: str) -> None:
    prompts, built = prompts_for(specific, position), tower()
    labels = tokenize_labels(NAMES, encoder(tower()), 12)
    classes = torch.tensor([2, 0, 3])
    ours = prompts(classes)
    full = full_forward(built, literal_prompts(built, labels, prompts.context, position))
    expected = full[classes, 1 : prompts.tokens + 1]
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-12)
    weights = torch.randn_like(ours)
    (mine,) = torch.autograd.grad((ours * weights).sum(), prompts.context)
    (theirs,) = torch.autograd.grad((expected * weights).sum(), prompts.context)
    torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)


def test_reads_context_label_and_end() -> None:
    """M = 12 + longest name + 1, as in the reproduction: 16 for names of up to 3 tokens."""
    prompts = prompts_for(specific=False, position="end")
    longest = max(len(open_clip.SimpleTokenizer().encode(name)) for name in NAMES)
    assert prompts.tokens == 12 + longest + 1
    assert prompts(torch.arange(4)).shape == (4, prompts.tokens, 12)


@pytest.mark.parametrize("position", ["end", "front"])
def test_real_words_as_context_give_open_clips_own_text_features(position: str) -> None:
    prompts, built = prompts_for(specific=False, position=position), tower()
    tokenizer = open_clip.SimpleTokenizer()
    words = tokenizer.encode("a b c d e f g h i j k l")
    with torch.no_grad():
        prompts.context.copy_(built.token_embedding(torch.tensor([words])))
    sentence = "a b c d e f g h i j k l"
    order = "{words} {name}" if position == "end" else "{name} {words}"
    own = built(tokenizer([order.format(words=sentence, name=name) for name in NAMES]))
    outputs = prompts(torch.arange(4))
    torch.testing.assert_close(prompts.eot(outputs, torch.arange(4)), own, rtol=1e-10, atol=1e-12)


def test_shared_context_has_the_same_features_for_every_class() -> None:
    """The paper's observation (4.2.2); a label in front changes it."""
    shared = prompts_for(specific=False, position="end")(torch.arange(4))[:, :12]
    front = prompts_for(specific=False, position="front")(torch.arange(4))
    torch.testing.assert_close(shared, shared[:1].expand_as(shared))
    assert not torch.allclose(front[0, -3], front[1, -3])


def test_order_permutes_the_context() -> None:
    prompts = prompts_for(specific=False, position="end")
    order = torch.randperm(12)
    shuffled = prompts(torch.arange(4), order)
    with torch.no_grad():
        prompts.context.copy_(prompts.context[:, order])
    torch.testing.assert_close(shuffled, prompts(torch.arange(4)))


@pytest.mark.parametrize("roll", ["alike", "apart"])
@pytest.mark.parametrize("position", ["end", "front"])
def test_rolled_copies_equal_full_forwards_of_rolled_contexts(position: str, roll: str) -> None:
    prompts, built = prompts_for(specific=False, position=position), tower()
    labels = tokenize_labels(NAMES, encoder(tower()), 12)
    rolled = prompts.rolled(torch.arange(4), roll)  # type: ignore[arg-type]
    assert rolled.shape == (4, 12, 12)
    for copy in (0, 1, 11):
        context = torch.roll(prompts.context, 1 if roll == "alike" else copy, dims=-1)
        full = full_forward(built, literal_prompts(built, labels, context, position))
        for index, tokens in enumerate(labels.tokens):
            expected = full[index, 1 + 12 + len(tokens)]
            torch.testing.assert_close(rolled[index, copy], expected, rtol=1e-10, atol=1e-12)


def test_encoder_is_frozen_and_stays_in_evaluation_mode() -> None:
    prompts = prompts_for(specific=False, position="end").train()
    assert [name for name, p in prompts.named_parameters() if p.requires_grad] == ["context"]
    assert not any(module.training for module in encoder(tower()).train().modules())


@pytest.mark.parametrize("kind", sorted(OTHER_TOWERS))
@pytest.mark.parametrize(("specific", "position"), VARIANTS)
def test_any_other_tower_takes_the_general_path(kind: str, specific: bool, position: str) -> None:
    """Against open_clip's own forward of real words; with an end token, against its blocks."""
    built = tower(**OTHER_TOWERS[kind])
    text = encoder(built)
    assert text.fast() is None
    assert text.cuttable == (kind == "other blocks")
    settings = Prompt(class_specific=specific, label_position=position)  # type: ignore[arg-type]
    labels = tokenize_labels(NAMES, text, 12)
    prompts = Prompts(text, labels, settings).double()
    words = "a b c d e f g h i j k l"
    with torch.no_grad():
        ids = torch.tensor(open_clip.SimpleTokenizer().encode(words))
        prompts.context.copy_(built.token_embedding(ids).expand_as(prompts.context))
    order = "{words} {name}" if position == "end" else "{name} {words}"
    sentences = [order.format(words=words, name=name) for name in NAMES]
    tokens = open_clip.SimpleTokenizer()(sentences, context_length=built.context_length)
    expected = own_outputs(built, tokens)
    classes = torch.tensor([3, 0, 2])
    ours = prompts(classes)
    for row, index in enumerate(classes.tolist()):
        read = slice(0, 12 + len(labels.tokens[index]) + 1)
        kept = expected[index, 1 : 1 + prompts.tokens]
        torch.testing.assert_close(ours[row, read], kept[read], rtol=1e-10, atol=1e-12)
    rolled = prompts.rolled(classes, "apart")[:, 0]
    torch.testing.assert_close(rolled, prompts.eot(ours, classes), rtol=1e-10, atol=1e-12)


def test_layer_scale_and_gelu_are_folded_exactly() -> None:
    """The tower for few tokens against open_clip's modules, other block options."""
    for options in ({"ls_init_value": 0.3}, {"act_layer": torch.nn.GELU}):
        built = tower(**options)
        text = encoder(built)
        fast = text.fast()
        assert fast is not None
        embeddings = torch.randn(3, 9, 16, dtype=torch.float64)
        (ours,) = fast([Segment(embeddings)])
        torch.testing.assert_close(ours, text(embeddings), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("classes", [1, 5, 40])
def test_many_sequences_in_tiles_are_blind_to_each_other(classes: int) -> None:
    text = encoder(tower())
    fast = text.fast()
    assert fast is not None
    begin = torch.randn(2, 5, 16, dtype=torch.float64)
    ends = torch.randn(2, classes, 3, 16, dtype=torch.float64)
    _, ours = fast([Segment(begin, read=0), Segment(ends.flatten(0, 1), 5, after=0, read=2)])
    whole = torch.cat([begin[:, None].expand(-1, classes, -1, -1), ends], 2).flatten(0, 1)
    torch.testing.assert_close(ours, text(whole)[:, -2:], rtol=1e-10, atol=1e-12)


def test_bfloat16_matrices_stay_near() -> None:
    built = tower()
    text = encoder(built.float())
    fast = text.fast()
    assert fast is not None
    embeddings = torch.randn(3, 9, 16)
    (ours,) = fast.use(torch.bfloat16)([Segment(embeddings)])
    assert ours.dtype == torch.bfloat16
    torch.testing.assert_close(ours.float(), text(embeddings), rtol=0.1, atol=0.05)


@pytest.mark.parametrize(
    ("names", "message"),
    [(["fish", ""], "''"), (["fish " * 70], "70 tokens")],
)
def test_bad_class_names_are_named(names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tokenize_labels(names, encoder(tower()), 12)


def test_words_that_the_encoder_does_not_know_are_refused() -> None:
    text = encoder(tower())
    text.known[:] = False
    with pytest.raises(ValueError, match="not trained on"):
        tokenize_labels(["fish"], text, 12)


@pytest.mark.parametrize("model", ["ViT-B-32", "ViT-B-32-quickgelu"])
@pytest.mark.filterwarnings("ignore")
def test_the_real_tower_has_open_clips_outputs_and_gradients(model: str) -> None:
    """CLIP's text tower of ViT-B/32, random weights, single precision."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        built = open_clip.create_model(model, load_weights=False).eval()
    known = torch.ones(built.vocab_size, dtype=torch.bool)
    text = TextEncoder(built, open_clip.SimpleTokenizer(), known)
    labels = tokenize_labels(NAMES, text, 12)
    torch.manual_seed(1)
    prompts = Prompts(text, labels, Prompt(init_std=0.02))
    assert prompts.tower is not None
    ours = prompts(torch.arange(4))
    full = full_forward(built, literal_prompts(built, labels, prompts.context, "end"))  # type: ignore[arg-type]
    expected = full[:, 1 : prompts.tokens + 1]
    torch.testing.assert_close(ours, expected, rtol=1e-3, atol=2e-5)
    weights = torch.randn_like(ours)
    mine, theirs = (
        torch.autograd.grad((each * weights).sum(), prompts.context)[0] for each in (ours, expected)
    )
    torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3 * float(theirs.abs().max()))


def test_labels_in_front_that_are_too_many_to_keep_are_encoded_in_each_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = prompts_for(specific=False, position="front")
    monkeypatch.setattr("lico.text.prompts.LARGEST_PAST", 0)
    encoded = prompts_for(specific=False, position="front")
    assert kept.keeps_labels
    assert not encoded.keeps_labels
    classes = torch.tensor([2, 0, 3])
    torch.testing.assert_close(encoded(classes), kept(classes), rtol=1e-10, atol=1e-12)
    for roll in ("alike", "apart"):
        torch.testing.assert_close(
            encoded.rolled(classes, roll), kept.rolled(classes, roll), rtol=1e-10, atol=1e-12
        )


@pytest.mark.parametrize(("specific", "position"), VARIANTS)
def test_bfloat16_tower_stays_near_and_gives_gradients(specific: bool, position: str) -> None:
    settings = Prompt(class_specific=specific, label_position=position)  # type: ignore[arg-type]
    found: list[torch.Tensor] = []
    for precision in (None, torch.bfloat16):
        text = encoder(tower().float())
        torch.manual_seed(1)
        prompts = Prompts(text, tokenize_labels(NAMES, text, 12), settings, precision)
        outputs = prompts(torch.arange(4)).float()
        outputs.square().sum().backward()
        assert prompts.context.grad is not None
        found.extend([outputs.detach(), prompts.context.grad])
    for exact, near in zip(found[:2], found[2:], strict=True):
        scale = float(exact.abs().max())
        torch.testing.assert_close(near, exact, rtol=0, atol=0.05 * scale)


@pytest.mark.parametrize("limit", [0, 10_000])
@pytest.mark.parametrize("classes", [1, 4])
def test_few_tokens_attend_in_one_problem_or_in_tiles(
    monkeypatch: pytest.MonkeyPatch, limit: int, classes: int
) -> None:
    monkeypatch.setattr("lico.text.tower.PACKED", limit)
    prompts, built = prompts_for(specific=False, position="end"), tower()
    labels = tokenize_labels(NAMES, encoder(tower()), 12)
    full = full_forward(built, literal_prompts(built, labels, prompts.context, "end"))
    chosen = torch.arange(classes)
    torch.testing.assert_close(
        prompts(chosen), full[:classes, 1 : prompts.tokens + 1], rtol=1e-10, atol=1e-12
    )
    copies = prompts.rolled(chosen, "apart")
    monkeypatch.setattr("lico.text.tower.PACKED", 0)
    torch.testing.assert_close(copies, prompts.rolled(chosen, "apart"), rtol=1e-10, atol=1e-12)
