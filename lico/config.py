"""The typed configuration of one run: every default, range and allowed name, and a stable hash."""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

Share = float  # a number in [0, 1]; the fields say so


class Section(BaseModel):
    """A part of the configuration: unknown keys and wrong types are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)


class Scenes(Section):
    """The embedded data set; every field changes the pictures."""

    train_images: PositiveInt = 2880
    val_images: PositiveInt = 240
    seed: int = Field(default=0, ge=0)
    spurious_correlation: float = Field(
        default=0.85, ge=0, le=1, description="P(texture is that of the class) in training pictures"
    )


class Marker(Section):
    """The dot that marks every image of one class (paper, Appendix A)."""

    class_name: str | None = Field(default=None, description="the marked class; none: no marker")
    size: float = Field(default=1 / 40, gt=0, le=1, description="diameter as a share of the side")
    colour: list[Annotated[int, Field(ge=0, le=255)]] = Field(
        default=[255, 0, 0], min_length=3, max_length=3, description="red, green, blue"
    )
    x: float = Field(default=0.0, ge=0, le=1, description="left edge as a share of the width")
    y: float = Field(default=0.0, ge=0, le=1, description="top edge as a share of the height")


class Own(Section):
    """A user's own data set in class folders; paths are relative to `data.root`."""

    title: str = Field(default="own", pattern=r"^[A-Za-z0-9_-]+$", description="names the file")
    train: str | None = Field(default=None, description="folder of class folders")
    val: str | None = Field(default=None, description="folder of class folders")
    masks: str | None = Field(default=None, description="of the validation images, PNG")
    boxes: str | None = Field(default=None, description="of the validation images, VOC XML")
    names: str | None = Field(default=None, description="a CSV of class folder and readable name")
    mean: list[float] = Field(default=[0.485, 0.456, 0.406], min_length=3, max_length=3)
    std: list[Annotated[float, Field(gt=0)]] = Field(
        default=[0.229, 0.224, 0.225], min_length=3, max_length=3
    )


DataName = Literal[
    "scenes", "cifar100", "imagenet_s50", "imagenet_s300", "imagenet_s919", "imagenet1k", "own"
]


class Data(Section):
    """Which images, and how a training picture is cut out of them."""

    name: DataName = "scenes"
    root: str = Field(default="data", description="folder of the packed files (lico data NAME)")
    stage: str | None = Field(
        default=None, description="node-local folder that packed files are copied to and read from"
    )
    image_size: int = Field(default=64, ge=16, description="side of the network's input in pixels")
    augmentation: Literal["crop_flip", "none"] = "crop_flip"
    crop_scale: list[float] = Field(default=[0.08, 1.0], min_length=2, max_length=2)
    workers: int | None = Field(
        default=None,
        ge=0,
        description="loader processes; 0 loads in the run itself; none: as many as pay",
    )
    scenes: Scenes = Scenes()
    marker: Marker = Marker()
    own: Own = Own()

    @property
    def title(self) -> str:
        """The data set's name, which its packed file has."""
        return self.own.title if self.name == "own" else self.name

    @model_validator(mode="after")
    def _scale_is_a_range(self) -> "Data":
        low, high = self.crop_scale
        if not 0 < low <= high <= 1:
            raise ValueError(
                f"crop_scale={self.crop_scale} must be [low, high], 0 < low <= high <= 1"
            )
        return self


class Model(Section):
    """The classifier that is trained."""

    name: Literal["small_resnet", "resnet18", "resnet50"] = "resnet18"


class Contrast(Section):
    """Contrastive Grad-CAM consistency (CGC, CVPR 2022)."""

    weight: NonNegativeFloat = 0.5
    temperature: PositiveFloat = 0.5


class Method(Section):
    """What one training step minimises: CE, CE + alpha MM + beta OT (eq. 6), or CGC."""

    name: Literal["ce", "lico", "cgc"] = "lico"
    alpha: NonNegativeFloat = 10.0
    beta: NonNegativeFloat = 1.0
    hidden_width: PositiveInt = Field(default=512, description="hidden width of the projection MLP")
    contrast: Contrast = Contrast()


class Matching(Section):
    """Manifold matching, eqs. 1 and 2."""

    features: Literal["maps", "pooled"] = Field(
        default="maps",
        description="flattened feature maps against projected tokens, or pooled "
        "features against the prompts' EOT outputs",
    )
    temperature: Literal["exponential", "divisor"] = Field(
        default="exponential", description="multiply distances by exp(t), or divide them by t"
    )


class Transport(Section):
    """Entropic optimal transport, eqs. 3 to 5."""

    epsilon: PositiveFloat = 1e-4
    max_iterations: PositiveInt = 100
    threshold: NonNegativeFloat = Field(
        default=1e-3, description="stop when the batch mean of sum|change of u| is below this"
    )
    gradient: Literal["unrolled", "envelope"] = "unrolled"
    solver: Literal["sinkhorn", "newton"] = Field(
        default="sinkhorn",
        description="newton: from Sinkhorn's iterations on to the solution, right to rounding",
    )


class Reading(Section):
    """How an ambiguity of the published method is resolved (docs/method.md)."""

    name: Literal["repro", "authors", "converged"] = "repro"
    tokens: Literal["prompt", "rolled"] = Field(
        default="prompt",
        description="all tokens of one prompt, or the EOT outputs of prompts with rolled contexts",
    )
    roll: Literal["alike", "apart"] = Field(
        default="alike",
        description="rolled: every copy by one element, as printed, or copy i by i elements",
    )
    shuffle_context: bool = True
    autocast: bool = Field(default=True, description="follow training.precision; else 32 bit")
    matching: Matching = Matching()
    transport: Transport = Transport()


class Prompt(Section):
    """The trainable prompt around a class label."""

    context_length: PositiveInt = 12
    class_specific: bool = False
    label_position: Literal["end", "front"] = "end"
    init_std: PositiveFloat = 1.0
    text: Literal["class_name", "caption"] = Field(
        default="class_name", description="what stands beside the context"
    )
    captions: str | None = Field(
        default=None,
        description="CSV file with the columns image and caption; none: the data set's own",
    )

    @model_validator(mode="after")
    def _captions_share_their_context(self) -> "Prompt":
        if self.text == "caption" and self.class_specific:
            raise ValueError(
                "text=caption with class_specific=true: a caption belongs to no class; "
                "choose prompt=captions or prompt=class_specific"
            )
        if self.captions is not None and self.text == "class_name":
            raise ValueError(f"captions={self.captions} is read with prompt=captions alone")
        return self


class Text(Section):
    """The frozen text encoder: any open_clip model name with a tag or a weights file."""

    model: str = "ViT-B-32-quickgelu"
    pretrained: str = Field(default="openai", description="an open_clip tag, or a weights file")
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="of the frozen tower's matrix products; under mixed precision they have its",
    )


Precision = Literal["auto", "32", "16-mixed", "bf16-mixed"]


class Training(Section):
    """Optimisation (paper, 3.3)."""

    epochs: PositiveInt = 100
    batch_size: PositiveInt = 128
    learning_rate: PositiveFloat = 0.03
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: NonNegativeFloat = 1e-4
    clip_norm: PositiveFloat | None = Field(default=None, description="gradient norm limit")
    precision: Precision = Field(
        default="auto", description="auto: 16-mixed on a CUDA device, 32 elsewhere"
    )
    checkpoint_every: PositiveInt = Field(default=1, description="epochs between checkpoints")


SaliencyMethod = Literal["gradcam", "gradcam_pp", "layercam", "scorecam", "rise"]


class Rise(Section):
    """Random masks of RISE (BMVC 2018, section 3)."""

    masks: PositiveInt = 1000
    cells: PositiveInt = 7
    keep_probability: float = Field(default=0.5, gt=0, lt=1)


class Saliency(Section):
    """Which maps are taken and how they are scored on the validation images."""

    methods: list[SaliencyMethod] = Field(default=["gradcam"], min_length=1)
    batch_size: PositiveInt = 64
    rise: Rise = Rise()
    gallery_images: int = Field(default=12, ge=0, description="images kept for the gallery")
    seed: int = Field(default=0, ge=0, description="of SES crops and RISE masks; not of training")


class Runtime(Section):
    """Where and how fast a run happens; nothing here is part of its identity."""

    results: str = "results"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: PositiveInt = Field(default=1, description="CPU threads of one run")
    devices: PositiveInt = Field(default=1, description="processes a node, each with a GPU if any")
    nodes: PositiveInt = Field(default=1, description="machines that share the run")
    cuda_graphs: bool = Field(
        default=False,
        description="replay all of LICO but the classifier as CUDA graphs, where one process has "
        "a CUDA device; the same numbers with fewer launches",
    )
    checkpoint_minutes: PositiveFloat = Field(
        default=5.0, description="longest training that an interruption without notice can cost"
    )
    country: str = Field(
        default="NLD", pattern="^[A-Z]{3}$", description="whose electricity mix is emitted"
    )


class Config(Section):
    """One run, whole."""

    experiment: str = Field(default="single", pattern=r"^[A-Za-z0-9_.-]+$")
    axes: dict[str, str] = Field(default={}, description="the run's place in its study")
    seed: int = Field(default=1, ge=0)
    data: Data = Data()
    model: Model = Model()
    method: Method = Method()
    reading: Reading = Reading()
    prompt: Prompt = Prompt()
    text: Text = Text()
    training: Training = Training()
    saliency: Saliency = Saliency()
    run: Runtime = Runtime()

    def identity(self) -> dict[str, Any]:
        """All that decides the result: everything but `run` and the data set's location."""
        unused = {"root", "stage", "workers"}
        own: Any = {"train", "val", "masks", "boxes", "names"} if self.data.name == "own" else True
        away: Any = dict.fromkeys(unused, True) | {"own": own}
        values = self.model_dump(mode="json", exclude={"run": True, "data": away})
        if self.method.name != "lico":
            for unused in ("reading", "prompt", "text"):
                del values[unused]
        return values

    def hash(self) -> str:
        """Eight hexadecimal digits that are the same for the same identity on every machine."""
        text = json.dumps(self.identity(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def run_id(self) -> str:
        """A readable and unique name: the axes' values, the seed and the hash."""
        place = [value for axis, value in self.axes.items() if axis != "seed"] or [self.method.name]
        return "-".join([*place, f"seed{self.seed}", self.hash()])
