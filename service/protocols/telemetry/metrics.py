"""What Prometheus reads at /metrics, one registry an app."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from service.catalogue.slot import ModelState, State
from service.domain.model import Model
from service.domain.observation import Observation
from service.inference.observer import DropReason, Stage
from service.jobs.job import State as JobState
from service.protocols.budgets import Budget
from service.protocols.telemetry.loop_metrics import LoopMetrics
from service.protocols.telemetry.observed import ObservedMetrics

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
IMAGES = (1, 2, 4, 8, 16, 32, 64, 128)
LAG_EVERY_SECONDS = 0.5

METHODS = frozenset({"GRPC", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class StatesSource(Protocol):
    """The part of the registry that is read at each scrape."""

    def states(self) -> list[ModelState]: ...


class JobsSource(Protocol):
    """The part of the jobs that is read at each scrape."""

    @property
    def held_bytes(self) -> int: ...

    def counts(self) -> Mapping[JobState, int]: ...


@dataclass(frozen=True)
class ModelTotals:
    """Of one version since the start: images answered and dropped, batches run, seconds in each
    stage, and when the last image was answered, in seconds of time.time(); 0 before the first.
    """

    images: int
    batches: int
    dropped: int
    seconds: Mapping[str, float]
    last_image: float


class Metrics:
    """Counts requests, and listens to the pipeline as its Observer."""

    def __init__(
        self, gather: Callable[[], Awaitable[Iterable[Iterable[Metric]]]] | None = None
    ) -> None:
        """`gather` collects the families of every process of a cluster; None is for a process that
        is alone.
        """
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series beside each other, of use to OpenMetrics readers alone
        collectors = CollectorRegistry()
        self._collectors = collectors
        self._gather = gather
        self._last_images: dict[str, float] = {}
        self._stages: dict[tuple[str, Stage], Histogram] = {}  # a look-up by labels is slow
        self.requests = Counter(
            "segserve_requests",
            "Requests answered.",
            ["method", "route", "code"],
            registry=collectors,
        )
        self.request_seconds = Histogram(
            "segserve_request_duration_seconds",
            "From the arrival of a request to the last byte of its answer.",
            ["route"],
            buckets=SECONDS,
            registry=collectors,
        )
        self.in_progress = Gauge(
            "segserve_requests_in_progress", "Requests at work or waiting.", registry=collectors
        )
        self.rejections = Counter(
            "segserve_rejections",
            "Requests or images of a batch refused, by kind of problem.",
            ["reason"],
            registry=collectors,
        )
        self.stage_seconds = Histogram(
            "segserve_stage_duration_seconds",
            "Time of an answered image in each stage; queue is all waiting.",
            ["model", "stage"],
            buckets=SECONDS,
            registry=collectors,
        )
        self.batch_images = Histogram(
            "segserve_batch_size_images",
            "Images or tiles an engine was given at once.",
            ["model"],
            buckets=IMAGES,
            registry=collectors,
        )
        self.dropped_images = Counter(
            "segserve_dropped_images",
            "Images that left the queue unserved.",
            ["model", "reason"],
            registry=collectors,
        )
        self.loop_lag_seconds = Histogram(
            "segserve_event_loop_lag_seconds",
            "How much later than planned the event loop woke up: high when something blocks it.",
            buckets=SECONDS,
            registry=collectors,
        )
        self._held_uploads = Gauge(
            "segserve_held_upload_bytes", "Bytes of request bodies in memory.", registry=collectors
        )
        self._held_answers = Gauge(
            "segserve_held_answer_bytes", "Bytes of answers not sent yet.", registry=collectors
        )
        self.loop = LoopMetrics(collectors)
        self._observed = ObservedMetrics(collectors)
        ProcessCollector(registry=collectors)

    def follow(self, registry: StatesSource, uploads: Budget, answers: Budget) -> None:
        """Read the models' states and what is held at each scrape."""
        self._held_uploads.set_function(lambda: uploads.held)
        self._held_answers.set_function(lambda: answers.held)
        self._collectors.register(_ModelCollector(registry))

    def follow_jobs(self, jobs: JobsSource) -> None:
        """Read how many jobs there are, and what they take, at each scrape."""
        self._collectors.register(_JobCollector(jobs))

    def stage(self, model_id: str, stage: Stage, seconds: float) -> None:
        histogram = self._stages.get((model_id, stage))
        if histogram is None:
            histogram = self._stages[model_id, stage] = self.stage_seconds.labels(model_id, stage)
        histogram.observe(seconds)
        if stage == "encode":
            self._last_images[model_id] = time.time()

    def answered(self, model: Model, observation: Observation) -> None:
        self._observed.answered(model, observation)

    def batch(self, model_id: str, images: int) -> None:
        self.batch_images.labels(model_id).observe(images)

    def dropped(self, model_id: str, reason: DropReason) -> None:
        self.dropped_images.labels(model_id, reason).inc()

    def rejected(self, reason: str) -> None:
        self.rejections.labels(reason).inc()

    def request_done(self, method: str, route: str, code: int | str, seconds: float) -> None:
        self.requests.labels(method if method in METHODS else "other", route, str(code)).inc()
        self.request_seconds.labels(route).observe(seconds)

    def totals(self, model_id: str) -> ModelTotals:
        """What was counted of one version since the start."""
        seconds = dict.fromkeys(get_args(Stage), 0.0)
        images = batches = dropped = 0
        for sample in _samples(self.stage_seconds, model_id):
            if sample.name.endswith("_sum"):
                seconds[sample.labels["stage"]] = sample.value
            elif sample.name.endswith("_count") and sample.labels["stage"] == "encode":
                images = round(sample.value)
        for sample in _samples(self.batch_images, model_id):
            if sample.name.endswith("_count"):
                batches = round(sample.value)
        for sample in _samples(self.dropped_images, model_id):
            if sample.name.endswith("_total"):
                dropped += round(sample.value)
        return ModelTotals(images, batches, dropped, seconds, self._last_images.get(model_id, 0.0))

    def families(self) -> list[Metric]:
        """This process's metrics as they are now."""
        return list(self._collectors.collect())

    async def exposition(self, accept: str) -> tuple[bytes, str]:
        """The metrics and their media type, in the form that the scraper's Accept asks for."""
        encode, media_type = choose_encoder(accept)
        if self._gather is None:
            return encode(self._collectors), media_type
        together = CollectorRegistry()
        together.register(_Together(await self._gather()))
        return encode(together), media_type

    async def watch_loop_lag(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            planned = loop.time() + LAG_EVERY_SECONDS
            await asyncio.sleep(LAG_EVERY_SECONDS)
            self.loop_lag_seconds.observe(max(0.0, loop.time() - planned))


def _samples(family: Counter | Histogram, model_id: str) -> Iterator[Sample]:
    for metric in family.collect():
        yield from (sample for sample in metric.samples if sample.labels["model"] == model_id)


class _Together(Collector):
    """The families of several processes as one of each name, whose samples tell by `replica` whose
    they are.
    """

    def __init__(self, processes: Iterable[Iterable[Metric]]) -> None:
        self._families: dict[str, Metric] = {}
        for replica, families in enumerate(processes):
            for family in families:
                merged = Metric(family.name, family.documentation, family.type)
                merged = self._families.setdefault(family.name, merged)
                merged.samples += [
                    sample._replace(labels={**sample.labels, "replica": str(replica)})
                    for sample in family.samples
                ]

    def collect(self) -> Iterator[Metric]:
        yield from self._families.values()


class _JobCollector(Collector):
    def __init__(self, jobs: JobsSource) -> None:
        self._jobs = jobs

    def collect(self) -> Iterator[Metric]:
        states = GaugeMetricFamily(
            "segserve_jobs", "Jobs that are kept, by their state.", labels=["state"]
        )
        counts = self._jobs.counts()
        for state in get_args(JobState):
            states.add_metric([state], counts.get(state, 0))
        yield states
        yield GaugeMetricFamily(
            "segserve_job_folder_bytes",
            "Bytes that files and results of jobs take, those announced among them.",
            self._jobs.held_bytes,
        )


class _ModelCollector(Collector):
    """Reads the models' states when scraped, so that none is ever stale."""

    def __init__(self, registry: StatesSource) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        states = self._registry.states()
        yield _model_info(states)
        yield _model_states(states)
        images = GaugeMetricFamily(
            "segserve_queue_depth_images", "Images accepted and not yet answered.", labels=["model"]
        )
        size = GaugeMetricFamily(
            "segserve_queue_depth_bytes",
            "Bytes of the images accepted and not yet answered.",
            labels=["model"],
        )
        stuck = GaugeMetricFamily(
            "segserve_engine_busy_seconds",
            "Age of the batch the engine is at; 0 when idle.",
            labels=["model"],
        )
        for state in states:
            images.add_metric([state.id], state.waiting_images)
            size.add_metric([state.id], state.waiting_bytes)
            stuck.add_metric([state.id], state.stuck_seconds)
        yield from (images, size, stuck)
        loads = CounterMetricFamily(
            "segserve_model_load_failures", "Loads that failed.", labels=["model"]
        )
        for state in states:
            loads.add_metric([state.id], state.load_failures)
        yield loads


def _model_info(states: list[ModelState]) -> Metric:
    family = InfoMetricFamily("segserve_model", "Facts of each model.", labels=["model"])
    for state in states:
        facts: dict[str, str] = {}
        if state.engine is not None:
            facts |= {
                "engine": state.engine.name,
                "device": state.engine.device,
                "precision": state.engine.precision,
            }
        if state.model is not None:
            contract = state.model.contract
            facts |= {"architecture": contract.architecture, "digest": contract.digest}
        family.add_metric([state.id], facts)
    return family


def _model_states(states: list[ModelState]) -> Metric:
    family = GaugeMetricFamily(
        "segserve_model_state", "1 for the state that the version is in.", labels=["model", "state"]
    )
    for state in states:
        for possible in get_args(State):
            family.add_metric([state.id, possible], 1 if state.state == possible else 0)
    return family
