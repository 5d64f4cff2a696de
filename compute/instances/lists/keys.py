"""The list of SSH keys. The forms that add one stand beside it."""
from dataclasses import dataclass

from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from compute.instances import keys
from compute.instances.models import SshKey
from portal.kernel.lists import Column, Empty, Text
from tenants.bulk import BulkVerb
from tenants.lists import BY_REGION, BY_TAG, CREATED, ID, NAME, PROJECT, TAGS, Listing
from tenants.scope import narrow


@dataclass(frozen=True, kw_only=True)
class Deletable:
    may_delete: bool


class KeyList(Listing):
    """SSH keys."""

    name, url_name, row_template = "ssh-keys", "ssh_keys:list", "instances/_key_row.html"
    title, live, has_actions, page_template = _("SSH keys"), "ssh_key", True, "instances/keys.html"
    columns = (ID, NAME, Column(label=_("Fingerprint"), value=lambda line: line.row.fingerprint), PROJECT, CREATED, TAGS)
    filters = (Text(name="name", label=_("Name or fingerprint contains …"), paths=("name", "fingerprint")), BY_REGION, BY_TAG)
    verbs = (BulkVerb(name="delete", label=_("Delete"), icon="trash", permission="sshkey.manage", is_bad=True,
                      effect=_("New instances cannot be given them any more. Instances that have them keep them."),
                      act=lambda key, user: keys.delete_key(key, actor=user)),)
    empty = Empty(icon="key", title=_("No SSH keys yet"),
                  command="mains ssh-key create laptop --public-key ~/.ssh/id_ed25519.pub",
                  text=_("A key lets you sign in to new instances without a password. Paste the public part of yours, or let "
                         "the portal generate a pair."))

    def rows(self) -> QuerySet[SshKey]:
        return narrow(self.request, SshKey.objects.visible_to(self.user)).select_related("project__organization", "region")

    def items(self, rows: list[SshKey]) -> list[Deletable]:
        return [Deletable(may_delete=self.user.grants.may("sshkey.manage", row.project_id)) for row in rows]
