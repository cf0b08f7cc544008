"""Every setting of `segserve serve`: a SEGSERVE_* variable and a flag, the unit in its name."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from models import contract
from models.contract.errors import UserError
from service.runtimes.engine import EngineName, Precision
from service.setting_types import DEFAULT_PORT, Hosts, Port, Strings, VersionLabels

PREFIX = "SEGSERVE_"
BUNDLED_MODELS = Path(contract.__file__).parents[1] / "zoo"


class SettingError(UserError):
    """A setting cannot be used. The text names the variable, its value and the limit."""


class Settings(BaseSettings):
    """Serve the models of a store over HTTP.

    Each flag is also an environment variable; the flag wins.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
    )

    host: str = Field(
        "127.0.0.1",
        description="Address to listen on; 0.0.0.0 is every IPv4 address of the machine.",
    )
    port: Port = Field(
        DEFAULT_PORT, ge=0, le=65535, description="Port to listen on; 0 takes a free one."
    )
    grpc_port: Port | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port for gRPC (Open Inference Protocol), 0 for a free one; not set, gRPC is "
        "off.",
    )
    grpc_tls_certificate_file: Path | None = Field(
        None, description="Certificate chain (PEM) that gRPC is encrypted with; needs its key."
    )
    grpc_tls_key_file: Path | None = Field(
        None, description="Private key (PEM) of that certificate."
    )
    root_path: str = Field(
        "",
        pattern=r"^(/[^/?#\s]+)*$",
        description="Path prefix that a proxy strips before it hands requests on, such as /vision.",
    )

    model_store: Path = Field(
        BUNDLED_MODELS,
        description="Folder with <name>/<version>/ SavedModels; the bundled models by default.",
    )
    models: Strings = Field(
        (),
        description="Models to serve, such as street,nuclei/2; empty for the newest version of "
        "every model.",
    )
    default_model: str | None = Field(
        None,
        description="Model for requests that name none; if not set, the first of SEGSERVE_MODELS, "
        "else street, else the first by name.",
    )
    version_labels: VersionLabels = Field(
        (),
        description="Labels of versions, such as stable=street/1,canary=street/2, for clients of "
        "TensorFlow Serving; the versions are served where SEGSERVE_MODELS names them.",
    )
    engine: EngineName = Field(
        "auto",
        description="What runs the models: tensorflow, openvino, onnx, or auto for the fastest "
        "that each model holds files for and the machine can run.",
    )
    precision: Precision = Field(
        "auto",
        description="Arithmetic of the models: fp32, bf16, int8, or auto for the fastest whose "
        "accuracy was checked.",
    )
    threads: int = Field(
        0,
        ge=0,
        le=1024,
        description="Threads an engine computes with; 0 for as many as there are CPUs in the "
        "quota.",
    )
    streams: int = Field(
        0,
        ge=0,
        le=1024,
        description="Batches that a CPU runs beside each other, the threads shared among them; 0 "
        "for what is fastest.",
    )
    image_workers: int = Field(
        0,
        ge=0,
        le=256,
        description="Threads that decode and encode images; 0 for as many as there are CPUs.",
    )
    lazy_loading: bool = Field(
        False, description="Load a model at its first request instead of at the start."
    )
    max_model_bytes: int = Field(
        0,
        ge=0,
        description="Loaded models may add up to this many bytes, counted by their files; beyond "
        "it the least recently used one is unloaded until it is asked for again. 0 for no limit.",
    )
    watch_models: bool = Field(
        True, description="Load new versions while serving, when the store changes."
    )
    watch_polling: bool = Field(
        False,
        description="Look at the store again and again instead of asking to be told: for network "
        "volumes.",
    )
    load_timeout_seconds: float = Field(
        300.0,
        gt=0,
        le=86_400,
        description="A load not done this long after it began, its files read and checked and the "
        "model warm, counts as failed until it is.",
    )

    max_upload_bytes: int = Field(
        64 * 2**20, ge=1, description="Largest request body of POST /segment."
    )
    max_image_pixels: int = Field(
        100_000_000,
        ge=1,
        le=2**31 - 1,
        description="Largest width × height of an image, checked before decoding.",
    )
    max_batch_request_images: int = Field(
        32, ge=1, le=10_000, description="Most images in one POST /segment/batch."
    )
    max_batch_upload_bytes: int = Field(
        256 * 2**20, ge=1, description="Largest body of POST /segment/batch."
    )
    max_held_upload_bytes: int = Field(
        2**30,
        ge=1,
        description="Request bodies in memory may add up to this many bytes; more are refused with "
        "429.",
    )
    max_held_answer_bytes: int = Field(
        2**29,
        ge=1,
        description="Answers not sent yet may add up to this many bytes; above it new uploads are "
        "refused with 429, and clients that read slowly are cut off.",
    )
    max_queue_images: int = Field(
        64,
        ge=1,
        le=100_000,
        description="Most images that wait for a model; more are refused with 429.",
    )
    max_queue_bytes: int = Field(
        2**30,
        ge=1,
        description="Most bytes of decoded images that wait for a model; more are refused with "
        "429.",
    )
    max_batch_images: int = Field(
        0,
        ge=0,
        le=1024,
        description="Most images an engine runs at once; 0 for what the engine says is best.",
    )
    max_probability_bytes: int = Field(
        2**29, ge=1, description="Largest array of probabilities that one npz answer may hold."
    )
    tile_side_pixels: int | None = Field(
        None,
        ge=64,
        le=16384,
        description="An image with more pixels than a square of this side is run in tiles. If not "
        "set, 1536, or 2176 where class maps take the engine half of the memory.",
    )

    job_folder: Path | None = Field(
        None,
        description="Folder that jobs and their files are kept in, of one server alone; not set, "
        "there are no jobs and nothing of a picture is written to disk.",
    )
    max_job_bytes: int = Field(
        8 * 2**30, ge=1, description="Largest file of a job; it is written to disk as it comes."
    )
    max_job_folder_bytes: int = Field(
        32 * 2**30,
        ge=1,
        description="Files and results of jobs may add up to this many bytes; above it new jobs "
        "are refused with 429.",
    )
    max_jobs: int = Field(
        100,
        ge=1,
        le=10_000,
        description="Most jobs that are not done yet, uploads among them; more are refused with "
        "429.",
    )
    max_key_jobs: int = Field(
        20, ge=1, le=10_000, description="The same for the jobs of one API key."
    )
    job_priority: Literal["idle", "normal"] = Field(
        "idle",
        description="idle lets jobs have what requests, and all else on the machine, leave; normal "
        "lets them have their share.",
    )
    job_upload_age_seconds: float = Field(
        86_400.0,
        gt=0,
        le=31_536_000,
        description="A job's file that has not wholly arrived this long after its first byte was "
        "announced is removed.",
    )
    job_result_age_seconds: float = Field(
        86_400.0,
        gt=0,
        le=31_536_000,
        description="A job is removed with its result this long after it was done.",
    )

    job_webhook_origins: Strings = Field(
        (),
        description="Servers that may be told when a job is done, such as "
        "https://app.example.org; none if not set.",
    )
    job_webhook_secret_file: Path | None = Field(
        None,
        description="File with the secret that signs what they are told, whsec_ and base64, as "
        "Standard Webhooks has it.",
    )

    request_timeout_seconds: float = Field(
        60.0,
        gt=0,
        le=86_400,
        description="A request not done this long after its arrival is answered with 504.",
    )
    upload_timeout_seconds: float = Field(
        30.0,
        gt=0,
        le=86_400,
        description="A body not received this long after its request began is refused with 408.",
    )
    answer_timeout_seconds: float = Field(
        30.0,
        gt=0,
        le=86_400,
        description="A client that takes nothing of its answer for this long is cut off.",
    )
    header_timeout_seconds: float = Field(
        10.0, gt=0, le=3600, description="A connection whose request headers take longer is closed."
    )
    keep_alive_seconds: int = Field(
        65,
        ge=1,
        le=3600,
        description="An idle connection stays open this long; keep it above the load balancer's.",
    )
    shutdown_delay_seconds: float = Field(
        2.0,
        ge=0,
        le=3600,
        description="Keep serving for this long after SIGTERM so that load balancers can "
        "deregister.",
    )
    shutdown_grace_seconds: float = Field(
        25.0,
        gt=0,
        le=3600,
        description="After SIGTERM, accepted requests have this long in all to finish.",
    )
    stuck_after_seconds: float = Field(
        120.0,
        gt=0,
        le=86_400,
        description="/health/live fails when an engine has been busy with one batch this long, "
        "or a load has gone on this long beyond its time.",
    )

    capture_folder: Path | None = Field(
        None,
        description="Folder in which pictures are kept that SEGSERVE_CAPTURE_POLICIES choose, and "
        "those that come back by POST /feedback; not set, nothing is kept.",
    )
    capture_policies: Strings = Field(
        ("confidence=0.8", "atypical=1", "every=1000"),
        description="What chooses a picture: confidence=0.8 (a mean confidence below it), "
        "atypical=1 (further out than 99 % of the model's own), rare=0.01 (a class with that share "
        "that usually has less), disagreement=0.1 (the share of pixels on which SEGSERVE_SHADOW "
        "differs), every=1000 (one in so many).",
    )
    capture_pause_seconds: float = Field(
        1.0, ge=0, le=86_400, description="No more than one picture is kept in this time."
    )
    capture_max_bytes: int = Field(
        2**30,
        ge=1,
        description="Pictures that are kept may add up to this many bytes, the oldest leave for "
        "new ones; and so may those of a model that came back, which stay.",
    )

    shadow: str | None = Field(
        None,
        description="A version such as street/2 that pictures which another version of its model "
        "answers are run on too, in a process of its own that takes what the machine has left.",
    )
    shadow_share: float = Field(
        0.1, gt=0, le=1, description="The share of those pictures; what finds it busy is left out."
    )

    api_keys_file: Path | None = Field(
        None,
        description="File of hashed API keys, made by `segserve keys add`; without it every caller "
        "is served.",
    )
    allowed_hosts: Hosts = Field(
        (),
        description="Names that callers may call this server by, such as vision.example.org, "
        "*.example.org, or * for any. If not set, loopback's names where it listens on loopback, "
        "else any. Addresses and loopback's names are allowed beside those that are set.",
    )
    cors_origins: Strings = Field(
        (),
        description="Web origins whose pages may call this server, such as "
        "https://app.example.org, or *.",
    )
    label_studio_url: str | None = Field(
        None,
        pattern=r"^https?://",
        description="Address of a Label Studio that asks for predictions, such as "
        "http://label-studio:8080: the pictures of its tasks are fetched from there.",
    )
    label_studio_token_file: Path | None = Field(
        None,
        description="File with an access token of that Label Studio, sent to it alone.",
    )
    label_studio_image_hosts: Strings = Field(
        (),
        description="Other servers that pictures of tasks may be fetched from, such as "
        "https://images.example.org; none if not set.",
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="auto is text on a terminal, else JSON."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Minimum log level."
    )
    otlp_traces_url: str | None = Field(
        None,
        pattern=r"^https?://",
        description="OTLP/HTTP address that receives traces, such as "
        "http://collector:4318/v1/traces; needs the otel extra.",
    )


def variable(field: str) -> str:
    return PREFIX + field.upper()


def flag(field: str) -> str:
    return "--" + field.replace("_", "-")


def setting_error(settings: Settings, field: str, fault: str) -> SettingError:
    """That a setting of the right form cannot be used."""
    given = str(getattr(settings, field))
    return SettingError(f"{variable(field)} (flag {flag(field)}) is {given!r}: {fault}")
