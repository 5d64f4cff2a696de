"""The list of launch templates."""
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from compute.instances.launch_templates.models import LaunchTemplate
from compute.instances.launch_templates.verbs import DELETE, delete_template
from portal.kernel.lists import Column, Empty
from tenants.bulk import BulkVerb
from tenants.lists import BY_NAME, BY_REGION, BY_TAG, CREATED, ID, NAME, PROJECT, REGION, TAGS, Listing
from tenants.scope import narrow

EFFECT = _("Nothing is made from it any more. Instances that were made from it stay.")


def _delete(template: LaunchTemplate, user: Any) -> None:
    delete_template(template, actor=user)


class LaunchTemplateList(Listing):
    """What instances are made from."""

    name, url_name, row_template = "launch-templates", "launch_templates:list", "instances/_template_row.html"
    title, live = _("Launch templates"), "launch_template"
    columns = (
        ID, NAME, Column(label=_("Default version"), value=lambda line: line.row.default_version),
        Column(label=_("Latest version"), kind="wide-only", value=lambda line: line.row.latest_version),
        REGION, PROJECT, CREATED, TAGS)
    filters = (BY_NAME, BY_REGION, BY_TAG)
    verbs = (BulkVerb(name="delete", label=_("Delete"), icon="trash", permission=DELETE, is_bad=True, effect=EFFECT,
                      act=_delete),)
    empty = Empty(icon="stack-2", title=_("No launch templates yet"), action=_("Create instance"), url_name="instances:create",
                  permission="instance.create",
                  command='mains launch-template create web --type small --image "Mains demo" --count 2',
                  text=_("Fill in the page for a new instance and save it as a template: the next ones are made from that."))

    def rows(self) -> QuerySet[LaunchTemplate]:
        rows = LaunchTemplate.objects.visible_to(self.user).select_related("project__organization", "region")
        return narrow(self.request, rows)
