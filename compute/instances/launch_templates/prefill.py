"""The create page, filled in from a template: what is still offered is chosen, what is not is said."""
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest

from compute.instances.forms import OrderForm
from compute.instances.launch_templates.models import CALLED, LaunchTemplate, LaunchTemplateVersion
from compute.instances.launch_templates.verbs import UPDATE, VIEW
from compute.instances.offers import Offer
from portal.kernel.errors import NotFound
from tenants.access import fetch

ONE_OF, SOME_OF = ("zone", "image", "type"), ("subnets", "security_groups", "ssh_keys")
TYPED = ("vcpus", "memory_mib", "root_disk_gib", "user_data", "name", "description", "tags", "count")


@dataclass(frozen=True, kw_only=True)
class Prefill:
    """A version of a template, and the names of fields for which it names what is not offered any more."""

    version: LaunchTemplateVersion
    gone: list[Any] = field(default_factory=list)

    @property
    def template(self) -> LaunchTemplate:
        return self.version.template

    def choices(self, found: Offer, standing: Mapping[str, Any]) -> dict[str, Any]:
        """What is chosen at first. In place of what is gone nothing is, where people have to choose."""
        body = self.version.body
        chosen: dict[str, Any] = {"template": self.template.pk, "floating_ip": bool(
            body.get("floating_ip") and standing.get("floating_ip"))}
        for name in (*ONE_OF, *SOME_OF):
            offered = {str(row.pk) for row in _offered(found)[name]}
            wanted = body.get(name) or ([] if name in SOME_OF else None)
            kept = [pk for pk in wanted if pk in offered] if name in SOME_OF else wanted if wanted in offered else None
            chosen[name] = kept
            if wanted and kept != wanted:
                self.gone.append(OrderForm.base_fields[name].label)
        if body.get("public_keys"):
            chosen["public_keys"] = "\n".join(body["public_keys"])
        return chosen | {name: body[name] for name in TYPED if body.get(name)}


def asked_for(request: HttpRequest, permission: str) -> Prefill | None:
    """The template of `?template=` and its `?version=` (the default one without). Raises NotFound; Forbidden for whoever may see
    it, but make nothing in its project."""
    if not request.GET.get("template"):
        return None
    rows = LaunchTemplate.objects.select_related("project__organization", "region")
    template = fetch(request.user, rows, VIEW, pk=request.GET["template"])
    template = fetch(request.user, rows, permission, pk=template.pk)
    number = request.GET.get("version") or str(template.default_version)
    version = template.versions.filter(number=int(number)).first() if number.isdecimal() and number.isascii() else None
    if version is None:
        raise NotFound
    version.template = template
    return Prefill(version=version)


def to_save(user: Any, pk: object, found: Offer) -> LaunchTemplate | None:
    """The template that the form began with, where what is chosen now can be saved as its next version."""
    if not pk or found.project is None or found.region is None:
        return None
    rows = LaunchTemplate.objects.visible_to(user, UPDATE).select_related("project", "region")
    return rows.filter(pk=pk, project=found.project, region=found.region).first()


def wishes(form: OrderForm) -> dict[str, Any]:
    """What of a valid form a template keeps."""
    names = (*ONE_OF, *SOME_OF, "vcpus", "memory_mib", "root_disk_gib", "floating_ip", "public_keys", "user_data", "count")
    kept = {name: form.cleaned_data[name] for name in names if name in form.cleaned_data}
    kept = {name: value for name, value in kept.items() if value is not None or name not in ("vcpus", "memory_mib")}
    if kept.get("count") == 1:
        del kept["count"]
    return kept | {name: form.cleaned_data[called] for name, called in CALLED.items()}


def _offered(found: Offer) -> dict[str, Any]:
    return {"zone": found.zones, "image": found.images, "type": found.types, "subnets": found.subnets,
            "security_groups": found.groups, "ssh_keys": found.keys}
