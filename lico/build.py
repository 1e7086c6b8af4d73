"""Put a training method together from its parts, as the configuration says."""

from functools import partial

import torch
from torch import Tensor

from lico.config import Config
from lico.data.loading import Batch
from lico.data_parallel import Parts
from lico.losses.contrastive_gradcam import contrastive_gradcam, differentiable_gradcam
from lico.losses.manifold_matching import INITIAL_LOG_SCALE, MAX_LOG_SCALE, manifold_matching
from lico.losses.optimal_transport import optimal_transport
from lico.methods.ce import CrossEntropy
from lico.methods.cgc import ContrastiveGradCam
from lico.methods.lico import LanguageImageConsistency, Temperature
from lico.methods.step import TrainingMethod
from lico.models.classifier import Classifier
from lico.randomness import seed_globally
from lico.text.encoder import TextEncoder
from lico.text.labels import LabelTokens, tokenize_labels
from lico.text.loading import load_text_encoder
from lico.text.projection import ProjectedPrompts
from lico.text.prompts import Prompts

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16}  # None: that of the weights


def build_method(
    config: Config,
    classifier: Classifier,
    class_names: list[str],
    captions: list[str] | None = None,
    encoder: TextEncoder | None = None,
) -> TrainingMethod:
    """The training method that `config.method` names, around the classifier.

    Its own parameters are initialised from streams of their own, so that two methods with the
    same seed start from the same classifier.

    Args:
        config: the run.
        classifier: to train.
        class_names: of the data set.
        captions: of each training image, if prompts have captions (`lico.text.captions`).
        encoder: frozen text encoder; `config.text` names it unless given.
    """
    match config.method.name:
        case "ce":
            return CrossEntropy(classifier)
        case "lico":
            chosen = encoder or load_text_encoder(config.text)
            return _lico(config, classifier, class_names, captions, chosen)
        case "cgc":
            return _cgc(config, classifier)


def _lico(
    config: Config,
    classifier: Classifier,
    class_names: list[str],
    captions: list[str] | None,
    encoder: TextEncoder,
) -> TrainingMethod:
    reading, method = config.reading, config.method
    texts, text_of_image, kind = class_names, None, "class name"
    if captions is not None:
        texts, kind = list(dict.fromkeys(captions)), "caption"
        place = {text: index for index, text in enumerate(texts)}
        text_of_image = torch.tensor([place[caption] for caption in captions])
    labels = tokenize_labels(texts, encoder, config.prompt.context_length, kind)
    return LanguageImageConsistency(
        classifier,
        _text(config, classifier, labels, encoder),
        manifold_matching,
        partial(
            optimal_transport,
            epsilon=reading.transport.epsilon,
            max_iterations=reading.transport.max_iterations,
            threshold=reading.transport.threshold,
            gradient=reading.transport.gradient,
            solver=reading.transport.solver,
        ),
        Temperature(INITIAL_LOG_SCALE, MAX_LOG_SCALE, reading.matching.temperature),
        alpha=method.alpha,
        beta=method.beta,
        pooled=reading.matching.features == "pooled",
        autocast=reading.autocast,
        text_of_image=text_of_image,
        cuda_graphs=config.run.cuda_graphs,
    )


def _text(
    config: Config, classifier: Classifier, labels: LabelTokens, encoder: TextEncoder
) -> ProjectedPrompts:
    reading = config.reading
    _, rows, columns = classifier.feature_shape(config.data.image_size)
    seed_globally("prompts", config.seed)
    return ProjectedPrompts(
        Prompts(encoder, labels, config.prompt, PRECISIONS[config.text.precision]),
        rows * columns,
        config.method.hidden_width,
        tokens=reading.tokens,
        roll=reading.roll,
        pooled=reading.matching.features == "pooled",
        shuffle_seed=config.seed if reading.shuffle_context else None,
    )


def _cgc(config: Config, classifier: Classifier) -> TrainingMethod:
    settings, size = config.method.contrast, config.data.image_size

    def contrast(batch: Batch, maps: Tensor, maps_of_views: Tensor, parts: Parts) -> Tensor:
        crops = batch.views.crops if batch.views else []
        return contrastive_gradcam(maps, maps_of_views, crops, size, settings.temperature, parts)

    return ContrastiveGradCam(classifier, differentiable_gradcam, contrast, settings.weight)
