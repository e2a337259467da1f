"""The classifier: an artifact, loaded once, that turns texts into predictions."""

import dataclasses
import functools
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, Self, Unpack, overload

import numpy as np
import numpy.typing as npt

from .artifact.folder import TOKENIZER, Artifact, check_files, read_artifact
from .artifact.manifest import Manifest
from .decision import explanation
from .decision.explanation import Explanation, Run
from .decision.policy import (
    CallOptions,
    Policy,
    Thresholds,
    call_policy,
    plain_thresholds,
    prediction,
    predictions,
)
from .decision.prediction import Prediction
from .engine.int8_check import int8_saturates
from .engine.providers import Provider, provider_candidates
from .engine.session import Session, check_version, open_session
from .engine.settings import DEFAULT, Profile, Settings
from .environment import environment_info
from .errors import ArtifactError, InferenceError, SettingError, TextError
from .scheduling.background import BackgroundTask
from .scheduling.batching import BATCH_TOKENS, run_batches
from .scheduling.queue import BatchQueue, OnBatch
from .scheduling.streaming import chunks, prefetch
from .text.tokenizer import NO_MEMORY, Encoded, LongText, Tokenizer, find_error, require_many

Result = Prediction | TextError
RETRIES = 5
WARM_UP_TOKENS = 8


def load(
    folder: str | os.PathLike[str],
    *,
    provider: Provider = "auto",
    variant: str | None = None,
    threads: int | None = None,
    profile: Profile = "latency",
    batch_tokens: int | None = None,
    gpu_memory_mb: int | None = None,
    thresholds: Thresholds | None = None,
    warm_up: bool = False,
) -> "Classifier":
    """Loads an artifact.

    Args:
        folder: The folder that `python -m export` wrote.
        provider: `cpu`, `cuda`, or `auto` for CUDA where it works and the CPU elsewhere.
        variant: `int8`, `fp32` or `fp16`; None for the fastest variant of the provider.
        threads: Number of threads of one inference; None for one per CPU that this process may use.
        profile: `latency` keeps the threads awake for up to 200 us between the operators of an inference. `shared` lets
            them sleep, for machines with other work; a short text then takes up to 1.5 times as long.
        batch_tokens: Maximum number of tokens of a batch, padding included; None for 512 on a CPU and 16384 on CUDA.
        gpu_memory_mb: Limit on GPU memory, in MiB; None for no limit.
        thresholds: Default thresholds of all calls, as for `Classifier.predict`; None for the artifact's.
        warm_up: Whether to run the shortest text and the largest batch once, so that the first call is as fast as
            later ones.

    Raises:
        ArtifactNotFoundError: There is no artifact in the folder.
        ArtifactError: The artifact is damaged, needs another version, or does not have the variant.
        ProviderError: The provider is unknown, does not work here, or is not one that the variant is made for.
        DependencyError: onnxruntime is too old, or installed twice.
        SettingError: A number is out of range, the profile is unknown, or a threshold is not valid.
        InferenceError: There is not enough memory.
    """
    settings = Settings(threads, profile, batch_tokens, gpu_memory_mb)
    for _ in range(RETRIES):
        artifact = read_artifact(folder)
        try:
            classifier = open_classifier(
                artifact, provider=provider, variant=variant, settings=settings, thresholds=thresholds
            )
            break
        except ArtifactError:
            if not artifact.is_replaced():
                raise
    else:
        raise ArtifactError(f"the artifact was replaced {RETRIES} times while it was being loaded; load it again")
    if warm_up:
        classifier.warm_up()
    return classifier


def open_classifier(
    artifact: Artifact,
    *,
    provider: Provider,
    variant: str | None = None,
    settings: Settings = DEFAULT,
    thresholds: Thresholds | None = None,
    check_unused: bool = True,
) -> "Classifier":
    """Creates the classifier of an artifact whose manifest was read; arguments and errors are those of `load`.

    The hashes of the model and the tokenizer are checked as they are read. With `check_unused` those of the other
    files, such as the fp32 model beside the int8 one, are checked in the background.
    """
    manifest = artifact.manifest
    check_version(manifest.min_onnxruntime)
    policy = call_policy(manifest, thresholds=thresholds)
    candidates = provider_candidates(provider, variant, manifest.variants)
    unused = manifest.files.keys() - {TOKENIZER, candidates[0][1].file} if check_unused else ()
    hashing = BackgroundTask(functools.partial(check_files, artifact, unused))
    try:
        session = open_session(
            artifact.folder, candidates, labels=len(manifest.labels), settings=settings, files=manifest.files
        )
        tokenizer = Tokenizer(
            artifact.read(TOKENIZER),
            max_length=manifest.max_length,
            stride=manifest.window.stride,
            pad_token_id=manifest.pad_token_id,
            vocab_size=manifest.vocab_size,
        )
    except MemoryError:
        raise InferenceError("there is not enough memory to load the artifact; free some") from None
    finally:
        hashing.wait()
    hashing.result()
    options = {
        "provider": provider,
        "variant": variant,
        **dataclasses.asdict(settings),
        "thresholds": plain_thresholds(thresholds),
    }
    return Classifier(artifact, session, tokenizer, policy, load_options=options)


class Classifier:
    """A tokenizer and an onnxruntime session. `load` creates it.

    Threads can share it. It pickles as the path of its artifact and the options of `load`, and is loaded again where it
    is unpickled. A forked process must load its own. `with` closes it.
    """

    def __init__(
        self,
        artifact: Artifact,
        session: Session,
        tokenizer: Tokenizer,
        policy: Policy,
        *,
        load_options: Mapping[str, Any],
    ) -> None:
        """Joins the parts that `open_classifier` creates.

        Args:
            artifact: The artifact that the parts come from.
            session: The session of the variant.
            tokenizer: The tokenizer.
            policy: Applies to calls without options.
            load_options: Arguments for `load` that create the same classifier.
        """
        self.manifest: Manifest = artifact.manifest
        self._artifact = artifact
        self._session = session
        self._tokenizer = tokenizer
        self._policy = policy
        self._load_options = dict(load_options)
        self._batch_tokens: int = load_options["batch_tokens"] or BATCH_TOKENS[session.provider]
        self._run = functools.partial(run_batches, session, tokenizer, max_tokens=self._batch_tokens)

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names, in the order of the scores."""
        return self.manifest.labels

    @property
    def provider(self) -> str:
        """`cpu` or `cuda`: the provider that the session runs on."""
        return self._session.provider

    @property
    def variant(self) -> str:
        """`int8`, `fp32` or `fp16`: the variant that the session runs."""
        return self._session.variant

    @property
    def threads(self) -> int:
        """Number of threads of one inference."""
        return self._session.threads

    def predict(self, text: str, **options: Unpack[CallOptions]) -> Prediction:
        """Classifies one text.

        Args:
            text: The text.
            **options: `top_k`, `thresholds`, `windows` and `with_logits`, see `CallOptions`.

        Raises:
            TextError: The text is empty, or not a `str` (TextTypeError).
            SettingError: An option is out of range.
            InferenceError: The model returned a value that is not a number, or cannot run.
        """
        policy = self.call_policy(options)
        if policy.aggregation is not None:
            return self._predict_windows(text, policy)
        encoded = self._tokenizer.encode(text)
        return prediction(self._run([encoded]).tolist(), [encoded.window], policy)

    def predict_many(self, texts: Iterable[str], **options: Unpack[CallOptions]) -> list[Prediction]:
        """Classifies texts, in batches of similar length.

        Args:
            texts: Any number of texts.
            **options: As for `predict`.

        Returns:
            One prediction per text, in the order of the texts.

        Raises:
            TextError: A text is empty, or not a `str` (TextTypeError); the message has its position. `predict_iter` can
                still classify the others.
            SettingError: As `predict`.
            InferenceError: As `predict`.
        """
        policy = self.call_policy(options)
        require_many(texts)
        texts = list(texts)
        for position, error in enumerate(map(find_error, texts)):
            if error is not None:  # fail before any text is classified
                raise error.at(position)
        stream = self._stream(texts, policy, return_errors=False)
        return [result for result in stream if not isinstance(result, TextError)]

    @overload
    def predict_iter(
        self, texts: Iterable[str], *, return_errors: Literal[False] = False, **options: Unpack[CallOptions]
    ) -> Iterator[Prediction]: ...

    @overload
    def predict_iter(
        self, texts: Iterable[str], *, return_errors: bool, **options: Unpack[CallOptions]
    ) -> Iterator[Result]: ...

    def predict_iter(
        self, texts: Iterable[str], *, return_errors: bool = False, **options: Unpack[CallOptions]
    ) -> Iterator[Result]:
        """Classifies a stream of any length in bounded memory.

        It reads ahead, 192 texts for the first predictions and later up to 4096 (or 2 million characters), to batch
        texts of similar length and to tokenize some while others run.

        Args:
            texts: The stream.
            return_errors: Whether to return the `TextError` of a text in its place. Otherwise it is raised and ends the
                stream.
            **options: As for `predict`.

        Returns:
            An iterator over one prediction per text, in the order of the texts. It raises the errors of `predict_many`.
        """
        policy = self.call_policy(options)
        require_many(texts)
        return self._stream(texts, policy, return_errors=return_errors)

    def explain(self, text: str, label: str | None = None, *, run: Run | None = None) -> Explanation:
        """Computes what each word of a text contributes to a label's score, by leaving the word out.

        The model runs once per word, in batches. Words beyond `max_length` are not explained.

        Args:
            text: The text.
            label: The label; None for the one with the highest score.
            run: Runs tokenized texts, as `AsyncClassifier` does in its queue; None to run them here.

        Raises:
            TextError: As `predict`.
            SettingError: The label is unknown.
            InferenceError: As `predict`.
        """
        if label is not None and not (isinstance(label, str) and label in self.labels):
            raise SettingError(f"unknown label, expected one of {', '.join(self.labels):.400}")
        encoded, offsets = self._tokenizer.locate(text)
        return explanation.explain(text, encoded, offsets, run or self._run, self.manifest, label)

    def logits(self, texts: Iterable[str]) -> npt.NDArray[np.float32]:
        """Returns the raw logits of a few texts, which run as one batch: (texts, labels) float32.

        Raises:
            TextError: As `predict_many`.
            InferenceError: As `predict`.
        """
        require_many(texts)
        batch = self._tokenizer.encode_many(list(texts))
        return self._session.run(self._tokenizer.pad(batch)) if batch else np.empty((0, len(self.labels)), np.float32)

    def new_queue(
        self,
        *,
        max_waiting_tokens: int | None = None,
        max_wait_s: float | None = None,
        on_batch: OnBatch | None = None,
    ) -> BatchQueue:
        """Starts a queue that runs texts of several callers in common batches; arguments are those of `BatchQueue`."""
        return BatchQueue(
            self._session,
            self._tokenizer,
            max_length=self.manifest.max_length,
            batch_tokens=self._batch_tokens,
            max_waiting_tokens=max_waiting_tokens,
            max_wait_s=max_wait_s,
            on_batch=on_batch,
        )

    def call_policy(self, options: CallOptions) -> Policy:
        """Checks the options of a call and completes them with those of `load`.

        Raises:
            SettingError: An option is out of range.
        """
        return call_policy(self._policy.manifest, **options) if options else self._policy

    def warm_up(self) -> None:
        """Runs a short text, a long one and the largest batch, so that no later call pays for allocations."""
        longest = self.manifest.max_length
        shapes = ((1, min(WARM_UP_TOKENS, longest)), (1, longest), (max(1, self._batch_tokens // longest), longest))
        for rows, length in shapes:
            blank = Encoded(np.zeros(length, np.int64), None)
            self._session.run(self._tokenizer.pad([blank] * rows))

    def info(self) -> dict[str, Any]:
        """Returns what a bug report needs, ready for JSON: artifact, variant, provider, settings, versions, machine."""
        manifest = self.manifest
        return {
            "artifact": {
                "folder": str(self._artifact.folder),
                "sha256": self._artifact.sha256,
                "task": manifest.task,
                "labels": len(manifest.labels),
                "max_length": manifest.max_length,
                "base_model": dict(manifest.base_model),
                "versions": dict(manifest.versions),
            },
            "load_options": dict(self._load_options),
            "provider": self.provider,
            "variant": self.variant,
            "threads": self.threads,
            "batch_tokens": self._batch_tokens,
            "exact_int8": not int8_saturates(),
            **environment_info(),
        }

    def close(self) -> None:
        """Releases memory and threads. Running calls finish; later calls raise `InferenceError`."""
        self._session.close()

    def __repr__(self) -> str:
        folder = self._artifact.folder.name
        return f"<Classifier {folder!r}: {self.variant} on {self.provider}, {len(self.labels)} labels>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.partial(load, **self._load_options), (self._artifact.folder,)

    def _stream(self, texts: Iterable[str], policy: Policy, *, return_errors: bool) -> Iterator[Result]:
        """Yields results in order; each chunk is tokenized while the one before it runs."""
        start = 0
        encode = functools.partial(self._tokenizer.try_encode, windows=policy.aggregation is not None)
        for chunk in prefetch(encode, chunks(texts)):
            for position, item in enumerate(chunk, start):
                if isinstance(item, TextError) and not return_errors:  # fail before the chunk runs
                    raise item.at(position)
            for position, result in enumerate(self._results(chunk, policy), start):
                if isinstance(result, TextError) and not return_errors:
                    raise result.at(position)
                yield result.at(position) if isinstance(result, TextError) else result
            start += len(chunk)

    def _results(self, chunk: list[list[Encoded] | LongText | TextError], policy: Policy) -> Iterator[Result]:
        """Runs a tokenized chunk and yields its results in order; the positions of errors are 0."""
        texts = [item for item in chunk if isinstance(item, list)]
        logits = self._run([window for windows in texts for window in windows])
        finished = iter(predictions(logits, [[window.window for window in windows] for windows in texts], policy))
        for item in chunk:
            if isinstance(item, list):
                yield next(finished)
            else:
                yield self._try_windows(item.text, policy) if isinstance(item, LongText) else item

    def _predict_windows(self, text: str, policy: Policy) -> Prediction:
        """Classifies the whole of a text of any length, one batch of windows at a time."""
        logits, read = [], []
        most = max(1, self._batch_tokens // self.manifest.max_length)
        windows = self._tokenizer.windows(text)
        try:
            while group := list(itertools.islice(windows, most)):
                logits += self._run(group).tolist()
                read += [encoded.window for encoded in group]
            return prediction(logits, read, policy)
        except MemoryError:
            raise TextError(0, NO_MEMORY) from None

    def _try_windows(self, text: str, policy: Policy) -> Result:
        try:
            return self._predict_windows(text, policy)
        except TextError as error:
            return error
