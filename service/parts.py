"""What the parts are made with, by the settings: for a server, for files, for a cluster's nodes."""

from models.contract.cores import available_cores
from service.capture.folder import CaptureFolder, FolderInUseError
from service.capture.labeled import LabeledFolder
from service.capture.policies import Policies
from service.capture.writer import Capture, CaptureObserver
from service.catalogue.registry import RegistryOptions
from service.catalogue.store import Selector, scan
from service.inference.limits import InferenceLimits
from service.runtimes.engine import EngineOptions
from service.settings import Settings, setting_error, variable
from service.shadow.shadow import Shadow, ShadowObserver

# What takes what a busy server leaves may take long to load.
SHADOW_PATIENCE = 5


def image_workers(settings: Settings) -> int:
    return settings.image_workers or available_cores()


def inference_limits(settings: Settings) -> InferenceLimits:
    return InferenceLimits(
        max_image_pixels=settings.max_image_pixels,
        tile_size=settings.tile_side_pixels,
        max_queue_images=settings.max_queue_images,
        max_queue_bytes=settings.max_queue_bytes,
        max_batch_images=settings.max_batch_images or None,
        max_probability_bytes=settings.max_probability_bytes,
        max_batch_seconds=settings.stuck_after_seconds,
    )


def engine_options(settings: Settings) -> EngineOptions:
    return EngineOptions(
        name=settings.engine,
        precision=settings.precision,
        threads=settings.threads or available_cores(),
        streams=settings.streams,
    )


def registry_options(settings: Settings) -> RegistryOptions:
    """Raises SettingError."""
    selection = tuple(_selector(settings, "models", text) for text in settings.models)
    return RegistryOptions(
        selection=selection,
        default_model=_default_model(settings, selection),
        lazy=settings.lazy_loading,
        max_model_bytes=settings.max_model_bytes or None,
        watch=settings.watch_models,
        force_polling=settings.watch_polling,
        load_timeout_seconds=settings.load_timeout_seconds,
    )


def _default_model(settings: Settings, selection: tuple[Selector, ...]) -> Selector | None:
    """Raises SettingError where every request that names no model would be answered with 404."""
    if not settings.default_model:
        return None
    default = _selector(settings, "default_model", settings.default_model)
    for served in selection:
        if served.name == default.name and None in (served.version, default.version):
            return default
    if selection and default not in selection:
        raise setting_error(
            settings,
            "default_model",
            f"it is not among {variable('models')}, {','.join(settings.models)}",
        )
    return default


def _selector(settings: Settings, field: str, text: str) -> Selector:
    try:
        return Selector.parse(text)
    except ValueError as error:
        raise setting_error(settings, field, str(error)) from None


def open_capture(settings: Settings, observer: CaptureObserver) -> Capture | None:
    """What keeps pictures; None where no folder is set. Raises SettingError."""
    try:
        policies = Policies.parse(settings.capture_policies)
    except ValueError as error:
        raise setting_error(settings, "capture_policies", str(error)) from None
    if settings.capture_folder is None:
        return None
    try:
        folder = CaptureFolder(settings.capture_folder, settings.capture_max_bytes)
    except FolderInUseError:
        fault = "another server keeps pictures there; name another folder"
        raise setting_error(settings, "capture_folder", fault) from None
    except OSError as error:
        fault = f"it cannot be written to: {error.strerror}"
        raise setting_error(settings, "capture_folder", fault) from None
    return Capture(folder, policies, settings.capture_pause_seconds, observer)


def labeled_folder(settings: Settings) -> LabeledFolder | None:
    """Where pictures with corrected masks go; None where no folder is set."""
    if settings.capture_folder is None:
        return None
    return LabeledFolder(
        settings.capture_folder, settings.capture_max_bytes, settings.max_image_pixels
    )


def open_shadow(
    settings: Settings, observer: ShadowObserver, capture: Capture | None
) -> Shadow | None:
    """What runs a second version; None where none is named. Raises SettingError."""
    if settings.shadow is None:
        return None
    selector = _selector(settings, "shadow", settings.shadow)
    if selector.version is None:
        fault = f"name a version, such as {selector.name}/2: the newest may be the one that serves"
        raise setting_error(settings, "shadow", fault)
    versions = scan(settings.model_store).models.get(selector.name, {})
    if selector.version not in versions:
        there = ", ".join(artefact.id for artefact in versions.values()) or "none"
        raise setting_error(settings, "shadow", f"the store has no such version, but {there}")
    return Shadow(
        str(selector),
        settings.shadow_share,
        settings.model_dump(mode="json"),
        SHADOW_PATIENCE * settings.load_timeout_seconds,
        observer,
        capture,
    )
