"""Distillation: loads a teacher, and initializes a student with some of the teacher's layers.

Some of the teacher's layers are a good initialization (DistilBERT, Sanh et al. 2019, arXiv:1910.01108). This works for
every family whose weights have the layer's number in their names, and for ALBERT, whose layers share their weights.
"""

import copy
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from transformers import (
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from ..arguments import Arguments, DataArguments, EncoderArguments
from ..data.dataset import LabelledData
from ..data.record import RECORD, check_start, read_record
from ..errors import EncoderError
from .encoder import Encoder, attention_implementation, load_model, load_tokenizer, set_dropout
from .folding import scale
from .linear_probe import last_layer

LAYER = re.compile(r"^(.*?\blayers?\.)(\d+)(\..*)$")


@dataclass(frozen=True)
class Teacher:
    """A trained classifier with its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast


def load_teacher(arguments: Arguments, data: LabelledData) -> Teacher:
    """Loads a checkpoint of `python -m training` with the same labels and the same splits.

    Raises:
        EncoderError: The checkpoint cannot be loaded, has other labels, or was trained on other data.
        DataError: The checkpoint has no record, or its training may have included test texts.
    """
    encoder = arguments.encoder
    checkpoint = str(encoder.teacher)
    record = read_record(checkpoint)
    try:
        labels, task, max_length = tuple(record["labels"]), record["task"], int(record["max_length"])
        temperature = float(record.get("folded_temperature", 1.0))
        if not 0 < temperature < math.inf:
            raise ValueError("expected a temperature above 0")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise EncoderError(f"--teacher {checkpoint}: its {RECORD} is damaged; train it again") from error
    if labels != data.labels or task != data.task:
        raise EncoderError(f"--teacher {checkpoint}: expected the labels of this data set, found other labels")
    if record["data"]["sha256"] != data.sha256:
        raise EncoderError(f"--teacher {checkpoint} was trained on other data; {RECORD} there has its arguments")
    check_start("--teacher", checkpoint, data, arguments.data)
    own = replace(encoder, model_name_or_path=checkpoint, max_length=max_length, dropout=None)
    teacher = load_model(own, data.labels, data.task)
    if teacher.new_head:
        raise EncoderError(
            f"--teacher {checkpoint}: its weights or config.json do not fit its {RECORD}; train it again"
        )
    if (layer := last_layer(teacher.model)) is not None:
        scale(layer, temperature)  # undoes the folding: only --distillation_temperature softens its scores
    return Teacher(teacher.model, load_tokenizer(own))


def student_of(
    teacher: Teacher,
    layers: int,
    *,
    attention_dropout: float | None,
    dropout: float | None = None,
    trust_remote_code: bool = False,
) -> Encoder:
    """Returns a copy of the teacher with fewer layers.

    Args:
        teacher: Is not changed.
        layers: How many layers to keep, evenly spaced from the first to the last.
        attention_dropout: As for `set_dropout`.
        dropout: As for `set_dropout`, of the head.
        trust_remote_code: As for `load_model`.

    Raises:
        EncoderError: The teacher does not have more layers, the layers of its family cannot be removed, or the head has
            no dropout that `dropout` could set.
    """
    config: PreTrainedConfig = copy.deepcopy(teacher.model.config)
    depth = config.num_hidden_layers
    if not 1 <= layers < depth:
        raise EncoderError(f"--student_layers: expected 1 to {depth - 1}, fewer than the teacher's, found {layers}")
    kept = _evenly_spaced(layers, depth)
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None):
        config.layer_types = [config.layer_types[layer] for layer in kept]
    set_dropout(config, attention=attention_dropout, head=dropout)
    model = AutoModelForSequenceClassification.from_config(  # type: ignore[no-untyped-call]  # not annotated
        config, attn_implementation=attention_implementation(), trust_remote_code=trust_remote_code
    )
    weights = _renumbered(teacher.model.state_dict(), kept)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise EncoderError(
            "--student_layers: the layers of this model family cannot be removed; leave the option out"
        ) from error
    return Encoder(model.float(), new_head=False)


def initial_model(
    arguments: EncoderArguments, data: LabelledData, data_arguments: DataArguments, teacher: Teacher | None
) -> tuple[Encoder, PreTrainedTokenizerFast]:
    """Returns the model to train and its tokenizer: the encoder of the arguments, or a student with teacher layers.

    Raises:
        EncoderError: The encoder cannot be loaded, or the student not built.
        DataError: `check_start` rejects the checkpoint, or a cleaning step is not usable.
    """
    if teacher is None or arguments.student_layers is None:
        check_start("--model_name_or_path", arguments.model_name_or_path, data, data_arguments)
        tokenizer = load_tokenizer(arguments, data_arguments.cleaning)
        return load_model(arguments, data.labels, data.task), tokenizer
    tokenizer = load_tokenizer(replace(arguments, model_name_or_path=str(arguments.teacher)))
    limit = teacher.tokenizer.model_max_length
    if arguments.max_length > limit:
        raise EncoderError(f"--max_length: expected at most the teacher's {limit}, found {arguments.max_length}")
    student = student_of(
        teacher,
        arguments.student_layers,
        attention_dropout=arguments.attention_dropout,
        dropout=arguments.dropout,
        trust_remote_code=arguments.trust_remote_code,
    )
    return student, tokenizer


def _evenly_spaced(layers: int, depth: int) -> list[int]:
    """Returns the numbers of evenly spaced layers, including the first and the last; a single one is the first."""
    return [0] if layers == 1 else [round(index * (depth - 1) / (layers - 1)) for index in range(layers)]


def _renumbered(weights: dict[str, torch.Tensor], kept: Sequence[int]) -> dict[str, torch.Tensor]:
    """Returns the weights of some layers under new numbers, and all weights that belong to no layer."""
    places = {layer: place for place, layer in enumerate(kept)}
    found = {}
    for name, weight in weights.items():
        match = LAYER.match(name)
        if match is None:
            found[name] = weight
        elif int(match[2]) in places:
            found[f"{match[1]}{places[int(match[2])]}{match[3]}"] = weight
    return found
