"""As much of kustomize as deploy/kubernetes uses, to check manifests where no kubectl is."""

from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]

KUBERNETES = Path(__file__).parents[2] / "deploy" / "kubernetes"


def render(folder: Path) -> list[Manifest]:
    """The manifests that `kubectl kustomize` makes of a folder."""
    manifests: list[Manifest] = []
    _build(folder, manifests)
    return manifests


def _build(folder: Path, manifests: list[Manifest]) -> None:
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    known = {"apiVersion", "kind", "resources", "components", "patches", "images"}
    assert set(kustomization) <= known, set(kustomization) - known
    for name in kustomization.get("resources", ()):
        if (folder / name).is_dir():
            _build(folder / name, manifests)
        else:
            manifests.append(yaml.safe_load((folder / name).read_text()))
    for name in kustomization.get("components", ()):
        _build(folder / name, manifests)
    for patch in kustomization.get("patches", ()):
        _patch(manifests, yaml.safe_load((folder / patch["path"]).read_text()))
    for image in kustomization.get("images", ()):
        _set_image(manifests, image)


def _patch(manifests: list[Manifest], patch: Manifest) -> None:
    (target,) = [
        manifest
        for manifest in manifests
        if (manifest["kind"], manifest["metadata"]["name"])
        == (patch["kind"], patch["metadata"]["name"])
    ]
    target.update(_merged(target, patch))


def _merged(below: Any, above: Any) -> Any:
    """`above` laid over `below`: objects by key, lists of named things by name."""
    if isinstance(below, dict) and isinstance(above, dict):
        return below | {key: _merged(below.get(key), value) for key, value in above.items()}
    if isinstance(below, list) and isinstance(above, list) and _are_named([*below, *above]):
        named = {item["name"]: item for item in below}
        new = {item["name"]: _merged(named.get(item["name"]), item) for item in above}
        return list((named | new).values())
    return above


def _are_named(items: list[Any]) -> bool:
    return all(isinstance(item, dict) and "name" in item for item in items)


def _set_image(manifests: list[Manifest], image: dict[str, str]) -> None:
    for container in containers_of(manifests):
        name, _, tag = container["image"].partition(":")
        if name == image["name"]:
            container["image"] = f"{image.get('newName', name)}:{image.get('newTag', tag)}"


def containers_of(manifests: list[Manifest]) -> list[Manifest]:
    pods = [m["spec"]["template"]["spec"] for m in manifests if m["kind"] == "Deployment"]
    return [
        container
        for pod in pods
        for container in [*pod.get("initContainers", ()), *pod["containers"]]
    ]
