"""What no pod of ours may have: Kubernetes' restricted profile, and some more."""

VOLUMES = {"configMap", "emptyDir", "secret"}


def broken_rules(spec):
    return [name for name, holds in POD_RULES.items() if not holds(spec)] + [
        name
        for container in [*spec["containers"], *spec.get("initContainers", [])]
        for name, holds in CONTAINER_RULES.items()
        if not holds(container)
    ]


def _secured(holder):
    return holder.get("securityContext", {})


def _is_pinned(image):
    """A tag of its own, or a digest: `latest` is whatever was pushed last."""
    return "@sha256:" in image or image.rpartition(":")[2] not in (image, "", "latest")


def _has_no_capability(container):
    capabilities = _secured(container).get("capabilities", {})
    return capabilities.get("drop") == ["ALL"] and not capabilities.get("add")


def _is_bounded(container):
    resources = container.get("resources", {})
    return {"cpu", "memory"} <= set(resources.get("requests", {})) and "memory" in resources.get("limits", {})


POD_RULES = {
    "no service account token": lambda spec: spec.get("automountServiceAccountToken") is False,
    "no host network": lambda spec: not spec.get("hostNetwork"),
    "no host processes": lambda spec: not spec.get("hostPID"),
    "no host IPC": lambda spec: not spec.get("hostIPC"),
    "not root": lambda spec: (
        _secured(spec).get("runAsNonRoot") is True and _secured(spec).get("runAsUser", 0) > 0
    ),
    "seccomp": lambda spec: _secured(spec).get("seccompProfile", {}).get("type") == "RuntimeDefault",
    "harmless volumes": lambda spec: all(set(each) - {"name"} <= VOLUMES for each in spec.get("volumes", [])),
}
CONTAINER_RULES = {
    "not root": lambda each: (
        _secured(each).get("runAsNonRoot", True) and _secured(each).get("runAsUser", 1) > 0
    ),
    "seccomp": lambda each: (
        _secured(each).get("seccompProfile", {"type": "RuntimeDefault"})["type"] == "RuntimeDefault"
    ),
    "not privileged": lambda each: not _secured(each).get("privileged"),
    "no escalation": lambda each: _secured(each).get("allowPrivilegeEscalation") is False,
    "read-only root": lambda each: _secured(each).get("readOnlyRootFilesystem") is True,
    "no capabilities": _has_no_capability,
    "no host ports": lambda each: not any("hostPort" in port for port in each.get("ports", [])),
    "bounded": _is_bounded,
    "pinned image": lambda each: _is_pinned(each.get("image", "")),
    "writable /tmp": lambda each: any(m["mountPath"] == "/tmp" for m in each.get("volumeMounts", [])),
}
