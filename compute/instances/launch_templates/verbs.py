"""What people do with launch templates. The caller has checked access."""
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from compute.instances import builds, keys
from compute.instances.launch_templates.models import LaunchTemplate, LaunchTemplateVersion
from compute.instances.networks import Networks
from portal.kernel import audit, live
from portal.kernel.errors import InvalidInput, NotFound
from portal.kernel.models import Region
from portal.kernel.states import database_now
from tenants.models import Project, User
from tenants.quotas import reserve
from tenants.standing import require_open

VIEW, CREATE, UPDATE, DELETE = (f"launch_template.{what}" for what in ("view", "create", "update", "delete"))
DIMENSION = "launch_templates"
MOST_VERSIONS = 30
UNTOLD = ("user_data", "public_keys")
"""What the audit does not repeat: the one is secret, the others are long."""


@transaction.atomic
def create_template(project: Project, region: Region, *, name: str, wishes: Mapping[str, Any], actor: User,
                    description: str = "", tags: dict[str, str] | None = None) -> LaunchTemplate:
    """A template with its first version. `wishes` are values of a request for instances, as rows; none of them is needed.

    Raises InvalidInput for what can never work, QuotaExceeded, ProjectArchived.
    """
    check(project, region, wishes)
    reserve(project, None, {DIMENSION: 1})
    row = LaunchTemplate.objects.create(project=project, region=region, name=name, description=description, tags=tags or {})
    version = _add(row, 1, wishes, actor)
    live.touch(row)
    audit.record("launch_template.create", row, actor=actor, after={"name": name, **_told(version, wishes)})
    return row


@transaction.atomic
def add_version(template: LaunchTemplate, *, wishes: Mapping[str, Any], actor: User,
                is_default: bool = True) -> LaunchTemplateVersion:
    """Save it once more. Beyond MOST_VERSIONS the oldest gives way that is not the default one. Raises InvalidInput,
    ProjectArchived, NotFound when the template was deleted meanwhile."""
    check(template.project, template.region, wishes)
    require_open(template.project)
    row = _held(template)
    version = _add(row, row.latest_version + 1, wishes, actor)
    LaunchTemplate.objects.filter(pk=row.pk).update(
        latest_version=version.number, default_version=version.number if is_default else row.default_version)
    kept = version.number if is_default else row.default_version
    older = row.versions.exclude(number=kept).order_by("-number").values_list("pk", flat=True)[MOST_VERSIONS - 1:]
    LaunchTemplateVersion.objects.filter(pk__in=list(older)).delete()
    live.touch(row)
    audit.record("launch_template.save", row, actor=actor, after={**_told(version, wishes), "default_version": kept})
    return version


@transaction.atomic
def choose_default(template: LaunchTemplate, number: int, *, actor: User) -> None:
    """Instances are made from this version where none is named. Raises InvalidInput where there is no such version, NotFound
    when the template was deleted meanwhile."""
    row = _held(template)
    if not row.versions.filter(number=number).exists():
        raise InvalidInput.field("default_version", _("There is no such version."))
    LaunchTemplate.objects.filter(pk=row.pk).update(default_version=number)
    live.touch(row)
    audit.record("launch_template.default", row, actor=actor, before={"default_version": row.default_version},
                 after={"default_version": number})
    template.refresh_from_db()


@transaction.atomic
def delete_template(template: LaunchTemplate, *, actor: User | None) -> None:
    """Nothing is made from it any more; instances that were stay. Its versions go for good: they hold user data."""
    template.versions.all().delete()
    LaunchTemplate.objects.filter(pk=template.pk).update(deleted_at=database_now())
    live.touch(template)
    audit.record("launch_template.delete", template, actor=actor, before={"name": template.name})


def end_with_project(project: Project, actor: User | None) -> None:
    """The project is deleted, and its templates with it."""
    for row in LaunchTemplate.objects.live().filter(project=project):
        delete_template(row, actor=actor)


def check(project: Project, region: Region, wishes: Mapping[str, Any]) -> None:
    """Raise InvalidInput naming each field that no instance of the project in the region could be made with."""
    errors: dict[str, list[str]] = {}
    zone, image, type_, groups = (wishes.get(name) for name in ("zone", "image", "type", "security_groups"))
    if zone is not None and zone.region_id != region.pk:
        errors["zone"] = [_("This zone is in another region.")]
    if type_ is not None and not type_.is_offered_to(project.organization_id):
        errors["type"] = [_("This type is not offered here, or not any more.")]
    if image is not None:
        errors |= builds.image_errors(image, project, region)
        disk = wishes.get("root_disk_gib") or (type_ and max(type_.root_disk_gib, image.min_disk_gib))
        errors |= builds.size_errors(image, disk, "root_disk_gib") if disk else {}
    errors |= builds.key_errors(wishes.get("ssh_keys") or (), project)
    errors |= builds.user_data_errors(wishes.get("user_data") or "")
    if wrong := keys.errors(wishes.get("public_keys") or ()):
        errors["public_keys"] = wrong
    networks = Networks(subnets=tuple(wishes.get("subnets") or ()), groups=tuple(groups) if groups is not None else None,
                        has_floating_ip=bool(wishes.get("floating_ip")))
    errors |= networks.errors(project, region, wishes.get("count") or 1)
    if errors:
        raise InvalidInput(errors=errors)


def _held(template: LaunchTemplate) -> LaunchTemplate:
    """The row, locked: versions are numbered one after the other."""
    found = LaunchTemplate.objects.live().select_for_update(of=("self",), no_key=True).filter(pk=template.pk).first()
    if found is None:
        raise NotFound
    return found


def _add(template: LaunchTemplate, number: int, wishes: Mapping[str, Any], actor: User) -> LaunchTemplateVersion:
    said = {name: value for name, value in wishes.items() if name != "user_data" and value not in (None, "", False, (), {})}
    values = {name: _plain(value) for name, value in said.items()}
    return LaunchTemplateVersion.objects.create(
        template=template, number=number, values=values, user_data=wishes.get("user_data") or "", created_by=actor,
        created_at=database_now())


def _plain(value: Any) -> Any:
    """Rows as their ids."""
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return str(value.pk) if hasattr(value, "pk") else value


def _told(version: LaunchTemplateVersion, wishes: Mapping[str, Any]) -> dict[str, Any]:
    """What the trail says of it: rows by the names that they have now, since ids tell people nothing; of the untold, that it is
    there."""
    told = {name: name in UNTOLD or _named(wishes[name]) for name in version.values}
    return {"version": version.number, **told, **({"user_data": True} if version.user_data else {})}


def _named(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_named(one) for one in value]
    return value.name if hasattr(value, "pk") else value
