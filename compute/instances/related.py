"""Which instances have to do with something: with a network, a security group, an SSH key, an image, a host."""
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from compute.instances.models import HEAVY, Instance, SshKey
from compute.network.models import Port, SecurityGroup, Vpc

ROWS_A_PAGE = 50


def in_vpc(vpc: Vpc) -> Q:
    return Q(pk__in=Port.objects.live().filter(subnet__vpc=vpc, domain__isnull=False).values("domain"))


def with_group(group: SecurityGroup) -> Q:
    return Q(pk__in=Port.objects.live().filter(groups=group, domain__isnull=False).values("domain"))


def with_key(key: SshKey) -> Q:
    """Instances keep keys as text: they outlive the key's row."""
    return Q(project=key.project_id, public_keys__contains=[key.public_key])


def instances(user: Any, wanted: Q) -> QuerySet[Instance]:
    """Those that the user may see, by name."""
    rows = Instance.objects.visible_to(user).filter(wanted).defer(*HEAVY)
    return rows.select_related("type", "project__organization").order_by("name", "pk")


def shown(request: HttpRequest, wanted: Q) -> dict[str, Page]:
    """A page of them for `resources/_instances.html`; `?page=`."""
    return {"page": Paginator(instances(request.user, wanted), ROWS_A_PAGE).get_page(request.GET.get("page"))}
