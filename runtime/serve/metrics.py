"""The metrics of the service. Their labels are routes, statuses, phases and the model's labels: never a text."""

import collections
import functools
import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from .http import Exchange
from .model import ModelSlot

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"  # set by the process that starts several workers
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
SECONDS = [0.0001 * 1.5**step for step in range(29)]  # 0.1 ms to 8.5 s
ROWS = [1, 2, 4, 8, 16, 32, 64, 128, 256]


class Metrics:
    """Counts what the service does."""

    def __init__(self) -> None:
        """Creates the metrics in a registry of their own."""
        self.registry = CollectorRegistry()
        histogram = functools.partial(Histogram, namespace="litmus", registry=self.registry)
        counter = functools.partial(Counter, namespace="litmus", registry=self.registry)
        gauge = functools.partial(Gauge, namespace="litmus", registry=self.registry)
        self._requests = counter("requests", "Requests by route and status.", ["route", "status"])
        self._seconds = histogram("request_duration_seconds", "Time of a request.", ["route"], buckets=SECONDS)
        phases = histogram("phase_duration_seconds", "Time of a request's phases.", ["phase"], buckets=SECONDS)
        self._phases = [phases.labels(phase) for phase in ("queue", "tokenize", "infer")]
        self._batch = histogram("batch_texts", "Texts of a batch.", buckets=ROWS)
        self._batch_tokens = counter("batch_tokens", "Tokens that were run, padding included.")
        self._texts = counter("texts", "Texts that were classified.")
        self._tokens = counter("tokens", "Tokens of the texts.")
        self._truncated = counter("truncated_texts", "Texts that were longer than the model reads.")
        self._abstained = counter("abstained_texts", "Texts that got no label; single-label only.")
        self._labels = counter("labels", "Labels that were assigned.", ["label"])
        self._rejected = counter("rejected", "Requests that were rejected, by reason.", ["reason"])
        self._replaced = counter("model_replacements", "Replacements of the artifact.", ["result"])
        self._waiting = gauge("waiting_tokens", "Tokens that wait or run.", multiprocess_mode="livesum")
        self._oldest = gauge("oldest_request_seconds", "Age of the oldest request.", multiprocess_mode="livemax")
        self._batches: collections.deque[tuple[int, int]] = collections.deque()
        self._children: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def batch(self, rows: int, tokens: int, _: float) -> None:
        """Notes a batch, in the thread that ran it; it is counted with the next request, after the response."""
        self._batches.append((rows, tokens))

    def request(self, exchange: Exchange, status: int, seconds: float) -> None:
        """Counts a request, its time, the labels of its texts, and the batches that ran."""
        while self._batches:
            rows, tokens = self._batches.popleft()
            self._batch.observe(rows)
            self._batch_tokens.inc(tokens)
        key = exchange.route, status
        if key not in self._children:
            count = self._requests.labels(exchange.route, str(status))
            self._children[key] = count, self._seconds.labels(exchange.route)
        count, duration = self._children[key]
        count.inc()
        duration.observe(seconds)
        if not exchange.predictions:
            return
        for phase, value in zip(self._phases, exchange.timing[:3], strict=True):
            phase.observe(value)
        self._texts.inc(len(exchange.predictions))
        self._tokens.inc(exchange.timing.tokens)
        self._truncated.inc(sum([prediction.truncated for prediction in exchange.predictions]))
        self._abstained.inc(sum([prediction.abstained for prediction in exchange.predictions]))
        for label, times in collections.Counter(
            label for prediction in exchange.predictions for label in prediction.labels
        ).items():
            self._labels.labels(label).inc(times)

    def rejected(self, reason: str) -> None:
        """Counts a request that was rejected."""
        self._rejected.labels(reason).inc()

    def replaced(self, result: str) -> None:
        """Counts a replacement of the artifact, or an attempt."""
        self._replaced.labels(result).inc()

    def look_at(self, slot: ModelSlot) -> None:
        """Sets the gauges of this process."""
        self._waiting.set(slot.model.queue.waiting_tokens)
        self._oldest.set(slot.model.queue.oldest_s)

    def page(self, slot: ModelSlot) -> bytes:
        """Returns the metrics of all workers in the text format of Prometheus."""
        self.look_at(slot)
        registry = self.registry
        if MULTIPROCESS in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
