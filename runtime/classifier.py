"""The classifier: an artifact, loaded once, that turns texts into predictions."""

import dataclasses
import functools
import itertools
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, Self, overload

import numpy as np
import numpy.typing as npt

from .artifact.folder import TOKENIZER, Artifact, check_files, read_artifact
from .artifact.manifest import Aggregation, Manifest
from .decision import explanation
from .decision import policy as policies
from .decision.explanation import Explanation, Word
from .decision.policy import Policy, Prediction
from .engine.cuda import BUCKET
from .engine.int8_check import int8_saturates
from .engine.providers import Provider, provider_candidates
from .engine.session import check_version, open_session
from .engine.settings import DEFAULT, Profile, Settings
from .environment import environment_info
from .errors import ArtifactError, InferenceError, SettingError, TextError, TextTypeError
from .scheduling.background import BackgroundTask
from .scheduling.batching import BATCH_TOKENS, chunks, prefetch, run_batches
from .text.tokenizer import NO_MEMORY, Encoded, LongText, Tokenizer, find_error

Thresholds = float | Mapping[str, float]
Result = Prediction | TextError
RETRIES = 5
WARM_UP_TOKENS = 8
EXPLAINED_WORDS = 256


def load(
    folder: str | os.PathLike[str],
    *,
    provider: Provider = "auto",
    variant: str | None = None,
    threads: int | None = None,
    profile: Profile = "latency",
    batch_tokens: int | None = None,
    gpu_memory_mb: int | None = None,
    cuda_graphs: bool = False,
    thresholds: Thresholds | None = None,
    warm_up: bool = False,
) -> "Classifier":
    """Loads an artifact.

    Args:
        folder: An artifact folder that `python -m export` wrote.
        provider: `cpu`, `cuda`, or `auto`: CUDA where it really works, else the CPU.
        variant: `int8`, `fp32` or `fp16`, to compare them; None for the one that is meant for the provider.
        threads: Threads for one inference; None for one per CPU that this process may use.
        profile: `latency`: between the operators of an inference its threads stay awake, for 200 us at most. `shared`:
            they sleep, for machines that have other work; a short text then takes up to 1.5 times as long.
        batch_tokens: Most tokens of a batch, padding included; None for 512 on a CPU, 16384 on CUDA.
        gpu_memory_mb: CUDA: the most device memory the session takes, in MiB.
        cuda_graphs: CUDA: record a graph for each length bucket, for texts that come alone.
        thresholds: Those of all calls that name none, as for `Classifier.predict`; None for the artifact's.
        warm_up: Run the shortest text and the largest batch once, so that the first call is as fast as any other.

    Raises:
        ArtifactNotFoundError: There is no artifact.
        ArtifactError: It is damaged, not for this version, or lacks the variant.
        ProviderError: The provider is unknown, does not work here, or is not what the variant is for.
        DependencyError: onnxruntime is installed twice, or too old.
        SettingError: A number is out of range, the profile unknown, or a threshold not as `predict` takes it.
        InferenceError: There is not enough memory.
    """
    settings = Settings(threads, profile, batch_tokens, gpu_memory_mb, cuda_graphs)
    for _ in range(RETRIES):
        artifact = read_artifact(folder)
        try:
            classifier = _load(artifact, provider, variant, settings, thresholds)
            break
        except ArtifactError:
            if not artifact.is_replaced():
                raise
    else:
        raise ArtifactError(f"the artifact was replaced {RETRIES} times while it was being loaded; load it again")
    if warm_up:
        classifier.warm_up()
    return classifier


def _load(
    artifact: Artifact, provider: Provider, variant: str | None, settings: Settings, thresholds: Thresholds | None
) -> "Classifier":
    """Makes a classifier while the files that it does not read are checked."""
    files = artifact.manifest.files
    (_, first), *_ = provider_candidates(provider, variant, artifact.manifest.variants)
    unread = files.keys() - {TOKENIZER, first.file}  # the classifier checks these two as it reads them
    unread_files = BackgroundTask(functools.partial(check_files, artifact, unread))
    try:
        classifier = Classifier(artifact, provider=provider, variant=variant, settings=settings, thresholds=thresholds)
    except MemoryError:
        raise InferenceError("there is not enough memory to load the artifact; free some") from None
    finally:
        unread_files.wait()
    unread_files.result()
    return classifier


class Classifier:
    """A tokenizer and one onnxruntime session; made by `load`.

    Threads may share it. It pickles as the path of its artifact and what `load` was asked for, and is loaded again
    where it is unpickled. A forked process must load its own. `with` closes it.
    """

    def __init__(
        self,
        artifact: Artifact,
        *,
        provider: Provider = "auto",
        variant: str | None = None,
        settings: Settings = DEFAULT,
        thresholds: Thresholds | None = None,
    ) -> None:
        """Makes one of an artifact, whose model and tokenizer are checked; args and errors are those of `load`."""
        manifest = artifact.manifest
        check_version(manifest.min_onnxruntime)
        self.manifest: Manifest = manifest
        self._policy = policies.call_policy(
            manifest, top_k=None, thresholds=thresholds, windows=False, with_logits=False
        )
        self._artifact = artifact
        self._load_options: dict[str, Any] = {
            "provider": provider,
            "variant": variant,
            **dataclasses.asdict(settings),
            "thresholds": _plain(thresholds),
        }
        self._session = open_session(
            artifact.folder,
            provider_candidates(provider, variant, manifest.variants),
            labels=len(manifest.labels),
            longest=manifest.max_length,
            settings=settings,
            files=manifest.files,
        )
        self._tokenizer = Tokenizer(
            artifact.read(TOKENIZER),
            max_length=manifest.max_length,
            stride=manifest.window.stride,
            pad_token_id=manifest.pad_token_id,
            vocab_size=manifest.vocab_size,
        )
        self._batch_tokens = settings.batch_tokens or BATCH_TOKENS[self._session.provider]
        self._run = functools.partial(run_batches, self._session, self._tokenizer, max_tokens=self._batch_tokens)

    @property
    def labels(self) -> tuple[str, ...]:
        """Label names in the order of the scores."""
        return self.manifest.labels

    @property
    def provider(self) -> str:
        """`cpu` or `cuda`: what the session really runs on."""
        return self._session.provider

    @property
    def variant(self) -> str:
        """`int8`, `fp32` or `fp16`: which of the artifact's models runs."""
        return self._session.variant

    @property
    def threads(self) -> int:
        """Threads of one inference."""
        return self._session.threads

    def predict(
        self,
        text: str,
        *,
        top_k: int | None = None,
        thresholds: Thresholds | None = None,
        windows: bool | Aggregation = False,
        with_logits: bool = False,
    ) -> Prediction:
        """Classifies one text.

        Args:
            text: The text.
            top_k: Give so many labels and scores at most, best first.
            thresholds: Multi-label: the least score at which a label is given, one for all or by label; those that are
                not named keep the artifact's. Single-label: the score below which no label is given.
            windows: Read all of a text that is longer than `max_length`, in overlapping windows; a label's score is the
                mean or the highest of theirs, True for what the artifact says. Otherwise its end is not read.
            with_logits: Give the logits as well.

        Raises:
            TextError: The text is empty, or (TextTypeError) no `str`.
            SettingError: `top_k`, a threshold or `windows` is not what is expected.
            InferenceError: The model gave something that is not a number, or cannot run.
        """
        policy = self._resolve_policy(top_k, thresholds, windows, with_logits)
        if policy.aggregation is not None:
            return self._predict_windows(text, policy)
        encoded = self._tokenizer.encode(text)
        return policies.prediction(self._run([encoded]).tolist(), [encoded.window], policy)

    def predict_many(
        self,
        texts: Iterable[str],
        *,
        top_k: int | None = None,
        thresholds: Thresholds | None = None,
        windows: bool | Aggregation = False,
        with_logits: bool = False,
    ) -> list[Prediction]:
        """Classifies texts, in batches of similar length.

        Args:
            texts: Any number of texts.
            top_k: As for `predict`, like the other options.
            thresholds: The same.
            windows: The same.
            with_logits: The same.

        Returns:
            One prediction per text, in the order of the texts.

        Raises:
            TextError: A text is empty, or (TextTypeError) no `str`; the message has its position. With `predict_iter`
                the others are classified all the same.
            SettingError: As `predict`.
            InferenceError: As `predict`.
        """
        policy = self._resolve_policy(top_k, thresholds, windows, with_logits)
        _check_many(texts)
        texts = list(texts)
        for error in filter(None, map(find_error, range(len(texts)), texts)):
            raise error  # better now than after an hour
        return [found for found in self._stream(texts, policy, return_errors=False) if not isinstance(found, TextError)]

    @overload
    def predict_iter(
        self,
        texts: Iterable[str],
        *,
        top_k: int | None = None,
        thresholds: Thresholds | None = None,
        windows: bool | Aggregation = False,
        with_logits: bool = False,
        return_errors: Literal[False] = False,
    ) -> Iterator[Prediction]: ...

    @overload
    def predict_iter(
        self,
        texts: Iterable[str],
        *,
        top_k: int | None = None,
        thresholds: Thresholds | None = None,
        windows: bool | Aggregation = False,
        with_logits: bool = False,
        return_errors: bool,
    ) -> Iterator[Result]: ...

    def predict_iter(
        self,
        texts: Iterable[str],
        *,
        top_k: int | None = None,
        thresholds: Thresholds | None = None,
        windows: bool | Aggregation = False,
        with_logits: bool = False,
        return_errors: bool = False,
    ) -> Iterator[Result]:
        """Classifies a stream of any length in bounded memory.

        It reads ahead: 192 texts for the first predictions, later up to 4096 (or 2 million characters), to put texts of
        similar length into batches and to tokenize some while others run.

        Args:
            texts: The stream.
            top_k: As for `predict`, like the other options.
            thresholds: The same.
            windows: The same.
            with_logits: The same.
            return_errors: Give the `TextError` of a text that cannot be classified in its place, instead of raising it,
                which ends the stream.

        Returns:
            An iterator over one prediction per text, in the order of the texts. It raises what `predict_many` does.
        """
        policy = self._resolve_policy(top_k, thresholds, windows, with_logits)
        _check_many(texts)
        return self._stream(texts, policy, return_errors=return_errors)

    def explain(self, text: str, label: str | None = None) -> Explanation:
        """Tells what each word of a text contributes to a label's score, by leaving it out.

        Runs the model once per word, in batches. Only the part of the text that the model reads is explained.

        Args:
            text: The text.
            label: The label; None for the one with the highest score.

        Raises:
            TextError: As `predict`.
            SettingError: The label is unknown.
            InferenceError: As `predict`.
        """
        if label is not None and not (isinstance(label, str) and label in self.labels):
            raise SettingError(f"unknown label, expected one of {', '.join(self.labels):.400}")
        encoded, offsets = self._tokenizer.locate(text)
        words = explanation.words(text, offsets)
        pad_token_id = self.manifest.pad_token_id
        parts = [self._run([encoded])]
        for start in range(0, len(words), EXPLAINED_WORDS):  # all of them at once would be a copy of the text for each
            group = words[start : start + EXPLAINED_WORDS]
            parts.append(self._run([explanation.without(encoded, tokens, pad_token_id) for _, _, tokens in group]))
        logits = np.concatenate(parts)
        scores = policies.scores(logits[0].tolist(), self.manifest)
        index = scores.index(max(scores)) if label is None else self.labels.index(label)
        whole, *rest = explanation.log_odds(logits, index, self.manifest).tolist()
        return Explanation(
            label=self.labels[index],
            score=scores[index],
            words=tuple(Word(start, end, whole - left) for (start, end, _), left in zip(words, rest, strict=True)),
            truncated=encoded.truncated,
        )

    def logits(self, texts: Iterable[str]) -> npt.NDArray[np.float32]:
        """Returns the raw logits of a few texts, run as one batch: (texts, labels) float32.

        Raises:
            TextError: As `predict_many`.
            InferenceError: As `predict`.
        """
        _check_many(texts)
        batch = self._tokenizer.encode_many(list(texts))
        return self._session.run(self._tokenizer.pad(batch)) if batch else np.empty((0, len(self.labels)), np.float32)

    def warm_up(self) -> None:
        """Runs a short text and a batch as large as any, so that no later call pays for what the first one sets up.

        With `cuda_graphs` it records them all.
        """
        longest = self.manifest.max_length
        lengths = (
            range(BUCKET, longest, BUCKET) if self._load_options["cuda_graphs"] else [min(WARM_UP_TOKENS, longest)]
        )
        for rows, length in *((1, length) for length in (*lengths, longest)), (self._batch_tokens // longest, longest):
            blank = Encoded(np.zeros(length, np.int64), None)
            self._session.run(self._tokenizer.pad([blank] * max(1, rows)))

    def info(self) -> dict[str, Any]:
        """Says what a bug report needs, ready for JSON: artifact, variant, provider, settings, versions, machine."""
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
            "asked_for": dict(self._load_options),
            "provider": self.provider,
            "variant": self.variant,
            "threads": self.threads,
            "batch_tokens": self._batch_tokens,
            "exact_int8": not int8_saturates(),
            **environment_info(),
        }

    def close(self) -> None:
        """Gives memory and threads back; a later call is an `InferenceError`, those under way come to their end."""
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

    def _resolve_policy(
        self, top_k: int | None, thresholds: Thresholds | None, windows: bool | Aggregation, with_logits: bool
    ) -> Policy:
        if top_k is None and thresholds is None and windows is False and not with_logits:
            return self._policy
        return policies.call_policy(
            self._policy.manifest, top_k=top_k, thresholds=thresholds, windows=windows, with_logits=with_logits
        )

    def _stream(self, texts: Iterable[str], policy: Policy, *, return_errors: bool) -> Iterator[Result]:
        """Yields predictions in order; chunk after chunk is tokenized while the one before runs."""
        position = 0
        encode = functools.partial(self._tokenizer.try_encode, windows=policy.aggregation is not None)
        for chunk in prefetch(encode, chunks(texts)):
            error = next((item for item in chunk if isinstance(item, TextError)), None)
            if error is not None and not return_errors:
                raise type(error)(position + error.position, error.reason)
            good = [windows for windows in chunk if isinstance(windows, list)]
            logits = self._run([encoded for windows in good for encoded in windows])
            read = [[encoded.window for encoded in windows] for windows in good]
            predictions = iter(policies.predictions(logits, read, policy))
            for item in chunk:
                found: Result
                if isinstance(item, list):
                    found = next(predictions)
                else:
                    found = self._try_windows(item.text, policy) if isinstance(item, LongText) else item
                if isinstance(found, TextError):
                    found = type(found)(position, found.reason)
                    if not return_errors:
                        raise found
                yield found
                position += 1

    def _predict_windows(self, text: str, policy: Policy) -> Prediction:
        """Reads all of a text, however long, a batch of windows at a time."""
        logits, read = [], []
        most = max(1, self._batch_tokens // self.manifest.max_length)
        windows = self._tokenizer.windows(text)
        try:
            while group := list(itertools.islice(windows, most)):
                logits += self._run(group).tolist()
                read += [encoded.window for encoded in group]
            return policies.prediction(logits, read, policy)
        except MemoryError:
            raise TextError(0, NO_MEMORY) from None

    def _try_windows(self, text: str, policy: Policy) -> Result:
        try:
            return self._predict_windows(text, policy)
        except TextError as error:
            return error


def _plain(thresholds: Thresholds | None) -> Thresholds | None:
    """Returns checked thresholds as plain numbers, ready for JSON; they may be NumPy's or fractions."""
    if isinstance(thresholds, Mapping):
        return {label: float(level) for label, level in thresholds.items()}
    return None if thresholds is None else float(thresholds)


def _check_many(texts: object) -> None:
    """One `str` would be taken for the texts that its letters are."""
    if isinstance(texts, str):
        raise TextTypeError(0, "expected several texts, found one str; use predict for one text")
    try:
        iter(texts)  # type: ignore[call-overload]
    except TypeError:
        raise TextTypeError(0, f"expected several texts, found {type(texts).__name__}") from None
