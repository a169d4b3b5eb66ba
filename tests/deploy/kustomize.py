"""The part of kustomize that deploy/kubernetes uses; anything else in a kustomization is refused."""

from copy import deepcopy

import yaml

KNOWN = {"apiVersion", "kind", "namespace", "resources", "images", "replicas", "patches"}


def resolve(folder):
    """The manifests that `kubectl apply -k` would send."""
    plan = yaml.safe_load((folder / "kustomization.yaml").read_text())
    if unknown := set(plan) - KNOWN:
        raise ValueError(f"{folder}: {sorted(unknown)} is not known here")
    manifests = [manifest for name in plan["resources"] for manifest in _resource(folder / name)]
    for patch in plan.get("patches", []):
        _patch(manifests, yaml.safe_load((folder / patch["path"]).read_text()))
    for replicas in plan.get("replicas", []):
        _named(manifests, "Deployment", replicas["name"])["spec"]["replicas"] = replicas["count"]
    for image in plan.get("images", []):
        _set_image(manifests, image)
    for manifest in manifests:
        if "namespace" in plan:
            manifest["metadata"]["namespace"] = plan["namespace"]
    return manifests


def pod(manifest):
    """The pod's spec in a Deployment or Job."""
    return manifest["spec"]["template"]["spec"]


def workloads(manifests):
    return [manifest for manifest in manifests if manifest["kind"] in ("Deployment", "Job")]


def _resource(path):
    return resolve(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))


def _named(manifests, kind, name):
    (found,) = [each for each in manifests if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def _patch(manifests, patch):
    target = _named(manifests, patch["kind"], patch["metadata"]["name"])
    merged = _merge(target, patch)
    target.clear()
    target.update(merged)


def _merge(old, new):
    """Lists would need kustomize's merge keys: no patch of ours has one."""
    if isinstance(new, list):
        raise ValueError("a patch with a list is not known here")
    if not isinstance(new, dict) or not isinstance(old, dict):
        return deepcopy(new)
    return {**old, **{key: _merge(old.get(key), value) for key, value in new.items()}}


def _set_image(manifests, image):
    containers = [each for manifest in workloads(manifests) for each in pod(manifest)["containers"]]
    wanted = [each for each in containers if each["image"] == image["name"]]
    if not wanted:
        raise ValueError(f"no container has the image {image['name']}")
    for container in wanted:
        container["image"] = f"{image['newName']}:{image['newTag']}"
