"""The one version of a model that a job of files is done with: the same from its beginning to its
end, and after a stop.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from models.contract import Contract, ContractError
from service.catalogue.store import (
    Artefact,
    Selector,
    complaints,
    default_of,
    read_artefact,
    scan,
)
from service.predict.errors import PredictError
from service.settings import Settings


@dataclass(frozen=True)
class PinnedModel:
    """`settings` have that version alone selected; `id` is such as "street/1"."""

    id: str
    contract: Contract
    settings: Settings


def pin_model(settings: Settings, model: str | None) -> PinnedModel:
    """The version that `model` names: the newest one of a name, and of the default model where it
    is None.

    Raises PredictError.
    """
    store = settings.model_store
    try:
        found = scan(store)
        wrong = ". ".join(complaints(store, found))
    except OSError as error:
        raise PredictError(f"the model store {store} cannot be read: {error.strerror}.") from None
    if not found.models:
        raise PredictError(f"{wrong}.")
    artefact = _artefact(found.models, model or _default(settings, found.models))
    try:
        contract, _ = read_artefact(artefact)
    except ContractError as error:
        raise PredictError(f"{artefact.id} cannot be used: {error}.") from None
    pinned = {
        "model_store": store.resolve(),
        "models": (artefact.id,),
        "default_model": artefact.id,
        "watch_models": False,
        "lazy_loading": False,
    }
    return PinnedModel(artefact.id, contract, settings.model_copy(update=pinned))


def _default(settings: Settings, found: Mapping[str, object]) -> str:
    if settings.default_model is not None:
        return settings.default_model
    return settings.models[0] if settings.models else default_of(found.keys()) or ""


def _artefact(found: Mapping[str, Mapping[int, Artefact]], name: str) -> Artefact:
    there = ", ".join(version.id for versions in found.values() for version in versions.values())
    try:
        selector = Selector.parse(name)
    except ValueError as error:
        raise PredictError(f"{error}. The store has {there}.") from None
    versions = found.get(selector.name, {})
    version = selector.version if selector.version is not None else max(versions, default=0)
    if version not in versions:
        raise PredictError(f"There is no model {name!r}; the store has {there}.")
    return versions[version]
