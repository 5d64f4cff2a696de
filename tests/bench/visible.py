"""The instance list of a member who may see 10,000 of 100,000 instances: ours, by the rights of roles in projects; and as Django
REST framework with guardian's object permissions does it, which guardian's documentation shows: a permission on each row for the
member's group, a ModelViewSet whose queryset is `get_objects_for_user`, a serializer, a page with its count.

Both in process, in one database, 100 rows a page; the queries are those besides authentication.
"""
import time
from typing import Any

from tests.bench import databases
from tests.bench.figures import Figure, duration, ratio

ALL, VISIBLE, ROUNDS, PAGE, MOST_QUERIES, GOAL = 100_000, 10_000, 9, 100, 5, 8
PATH = f"/api/v1/instances/?limit={PAGE}"


def measure() -> list[Figure]:
    databases.set_up()
    with databases.database(6):
        member = _fill()
        ours, theirs = _our_list(member), _guardians_list(member)
        rounds = [(ours(), theirs()) for _round in range(ROUNDS)]
    mine, other = [one[0][0] for one in rounds], [one[1][0] for one in rounds]
    queries, others = rounds[-1][0][1], rounds[-1][1][1]
    return [
        Figure(name=f"visible: page of {PAGE} of {VISIBLE:,} visible among {ALL:,} instances",
               value=f"{ratio(other, mine):.1f} × as fast ({duration(mine)})",
               compared=f"DRF and guardian's get_objects_for_user ({duration(other)}, {others} queries)",
               goal=f"≥ {GOAL} ×", met=ratio(other, mine) >= GOAL),
        Figure(name="visible: queries besides authentication", value=str(queries), compared=f"guardian's {others}",
               goal=f"≤ {MOST_QUERIES}", met=queries <= MOST_QUERIES)]


def _fill() -> Any:
    """100,000 instances in ten projects; the member views one of them, and has guardian's permission on each row of it."""
    from django.conf import settings
    from django.contrib.auth.models import Group, Permission
    from django.contrib.contenttypes.models import ContentType
    from django.db import connection
    from guardian.models import GroupObjectPermission

    from compute.instances.models import Instance
    from tenants import operations
    from tenants.models import User
    from tenants.roles import bind
    from tests.world import make_world

    world = make_world(settings.STATE_DIR / "visible")
    projects = [world.project, *(operations.create_project(world.project.organization, f"p{number}", actor=None)
                                 for number in range(1, ALL // VISIBLE))]
    for project in projects:
        template = Instance.objects.create(
            project=project, region=world.region, zone=world.zone, host=world.host, name="web", type=world.type, vcpus=1,
            memory_mib=256, image=world.image, state="running", observed_state="running", tags={"role": "web"})
        databases.copy_resource(template, VISIBLE - 1)
    member = User.objects.create(username="member")
    bind(member, "viewer", projects[3])
    team = Group.objects.create(name="team")
    member.groups.add(team)
    view = Permission.objects.get(codename="view_instance", content_type=ContentType.objects.get_for_model(Instance))
    seen = Instance.objects.filter(project=projects[3]).values_list("pk", flat=True)
    GroupObjectPermission.objects.bulk_create((GroupObjectPermission(
        group=team, permission=view, content_type=view.content_type, object_pk=str(pk)) for pk in seen), batch_size=2000)
    # And on as many rows as others see, as there would be.
    others = Group.objects.create(name="others")
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO guardian_groupobjectpermission (group_id, permission_id, content_type_id, object_pk) "
                       "SELECT %s, %s, %s, resource_id::text FROM instances_instance",
                       [others.pk, view.pk, view.content_type_id])
    databases.analyze()
    return member


def _our_list(member: Any) -> Any:
    import json

    from compute.instances.api import InstanceViewSet

    ask = _asking(InstanceViewSet, PATH)
    return lambda: _timed(member, ask, lambda answer: len(json.loads(answer.content)["results"]) == PAGE)


def _asking(viewset: Any, path: str) -> Any:
    """One answer of the viewset's list to somebody, without the site around it, the same way for both."""
    from rest_framework.test import APIRequestFactory, force_authenticate

    view, requests = viewset.as_view({"get": "list"}), APIRequestFactory()

    def ask(somebody: Any) -> Any:
        request = requests.get(path)
        force_authenticate(request, somebody)
        return view(request).render()

    return ask


def _guardians_list(member: Any) -> Any:
    """As https://django-guardian.readthedocs.io and DRF's guide say; related rows joined, so that they cost no queries."""
    from guardian.shortcuts import get_objects_for_user
    from rest_framework.pagination import LimitOffsetPagination
    from rest_framework.serializers import ModelSerializer
    from rest_framework.viewsets import ReadOnlyModelViewSet

    from compute.instances.models import Instance

    class Serializer(ModelSerializer):
        class Meta:
            model = Instance
            fields = ("id", "project", "region", "name", "description", "tags", "state", "observed_state", "type", "vcpus",
                      "memory_mib", "zone", "image", "created_at", "updated_at")

    class Pages(LimitOffsetPagination):
        default_limit = PAGE

    class Instances(ReadOnlyModelViewSet):
        serializer_class, pagination_class = Serializer, Pages
        permission_classes = authentication_classes = ()

        def get_queryset(self) -> Any:
            return get_objects_for_user(self.request.user, "instances.view_instance", Instance).order_by("-created_at", "-pk")

    def is_right(answer: object) -> bool:
        return len(answer.data["results"]) == PAGE and answer.data["count"] == VISIBLE

    return lambda: _timed(member, _asking(Instances, "/"), is_right)


def _timed(member: Any, ask: Any, is_right: Any) -> tuple[float, int]:
    """(seconds, queries) of one answer to somebody who has just been recognized, so that rights are resolved anew; another
    before it has warmed what is cached."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    def somebody() -> Any:
        return type(member).objects.get(pk=member.pk)

    ask(somebody())
    asker = somebody()
    begun = time.perf_counter()
    answer = ask(asker)
    seconds = time.perf_counter() - begun
    assert is_right(answer), answer.content[:300]
    asker = somebody()
    with CaptureQueriesContext(connection) as captured:
        ask(asker)
    return seconds, len(captured)
