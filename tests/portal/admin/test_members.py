"""Many members of a project: a page of them at a time, and as many statements as for one."""
import re

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tenants.models import Project, ProjectUserBinding, User
from tenants.roles import bind
from tests.portal.scenery import Scene

MANY, A_PAGE, MOST = 60, 10, 12
TABLE = "projectuserbinding_set"


def with_many(scene: Scene) -> tuple[str, list[ProjectUserBinding]]:
    """The project's page and its bindings in order."""
    project: Project = scene.cast.project
    for number in range(MANY):
        bind(User.objects.create_user(f"member-{number:02}"), "viewer", project)
    rows = list(ProjectUserBinding.objects.filter(content_object=project).order_by("pk").select_related("user"))
    return reverse("admin:tenants_project_change", args=[project.pk]), rows


def test_a_page_of_members_names_each_and_asks_as_little_as_for_one(undone: Scene) -> None:
    path, rows = with_many(undone)
    client = undone.cast.browser("root")
    client.get(path)
    for number in (1, 2, 3):
        with CaptureQueriesContext(connection) as asked:
            text = client.get(path, {f"{TABLE}-page": number}).content.decode()
        shown = re.findall(r'<option value="[^"]*" selected>\s*([^<]*?)\s*</option>', text)
        expected = [row.user.username for row in rows[(number - 1) * A_PAGE:number * A_PAGE]]
        assert [name for name in shown if name in {row.user.username for row in rows}] == expected and expected
        assert len(asked) <= MOST


def test_a_member_on_a_further_page_is_taken_out_and_no_other(undone: Scene) -> None:
    path, rows = with_many(undone)
    shown = rows[A_PAGE:2 * A_PAGE]
    project = undone.cast.project
    form = {"organization": project.organization_id, "name": project.name, "description": project.description,
            f"{TABLE}-page": 2, f"{TABLE}-TOTAL_FORMS": len(shown), f"{TABLE}-INITIAL_FORMS": len(shown)}
    for name in ("projectgroupbinding_set", "quotas"):
        form |= {f"{name}-TOTAL_FORMS": 0, f"{name}-INITIAL_FORMS": 0}
    for number, row in enumerate(shown):
        form |= {f"{TABLE}-{number}-id": row.pk, f"{TABLE}-{number}-content_object": project.pk,
                 f"{TABLE}-{number}-user": row.user_id, f"{TABLE}-{number}-permission": row.permission_id}
    answer = undone.cast.browser("root").post(path, form | {f"{TABLE}-3-DELETE": "on"})
    assert answer.status_code == 302, re.findall(r'errorlist.*?</ul>', answer.content.decode(), re.S)[:3]
    left = list(ProjectUserBinding.objects.filter(content_object=project).order_by("pk"))
    assert left == [row for row in rows if row != shown[3]]
