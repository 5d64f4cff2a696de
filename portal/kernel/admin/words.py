"""Names of columns that their models leave to Django, which would show the attribute's English spelling in every language.

Given to the fields when their admin is made; a field's declared name (and so its migrations) is not touched.
"""
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

WORDS: dict[str, Any] = {
    "advice": _("advice"), "after": _("after"), "amount": _("amount"), "api_key": _("API key"),
    "applied_revision": _("revision in the fabric"), "arguments": _("arguments"), "attempts": _("failed tries"),
    "before": _("before"), "cancel_requested_at": _("cancel asked for"), "consumer": _("taken by"), "copier": _("copied by"),
    "deadline": _("deadline"), "deleted_at": _("deleted"), "deployment": _("mark of our rows"),
    "disk_free_gib": _("free in its pools (GiB)"), "domain": _("instance id"), "error": _("error"), "facts": _("facts"),
    "fault": _("fault"), "files": _("files"), "finished_at": _("finished"), "generation": _("generation"),
    "goes_with_instance": _("goes with its instance"), "health_reason": _("health reason"), "history": _("history"),
    "host": _("host"), "host_uuid": _("host id"), "hostname": _("host name"), "id": _("id"), "image": _("image"),
    "is_boot": _("boots from it"), "is_complete": _("complete"), "is_live": _("live"), "is_up": _("up"),
    "kernel_cmdline": _("kernel arguments"), "kind": _("kind"), "lease_until": _("lease until"),
    "locator": _("place in the pool"),
    "locators": _("places in the pool"), "observed_at": _("seen on the host"), "offsets": _("copied so far"),
    "operation": _("operation"), "parent": _("parent"), "path": _("path"), "person_since": _("needs a person since"),
    "plan": _("plan"), "pool": _("pool"), "position": _("position"), "progress": _("progress (%)"), "provider": _("host"),
    "public_keys": _("public keys"), "reconcile_until": _("compared until"), "request_id": _("request"),
    "resource": _("resource"), "resource_class": _("class"), "result": _("result"), "revision": _("revision"),
    "run_after": _("due"), "seen_at": _("last seen"), "start": _("start"), "started_at": _("started"),
    "state_changed_at": _("in this state since"), "step": _("step"), "step_since": _("in this step since"),
    "target": _("device"), "target_id": _("target's id"), "target_name": _("target"), "target_type": _("target's kind"),
    "token": _("token"), "undoing": _("being undone"), "updated_at": _("changed"), "version": _("version"),
    "volume": _("volume"),
}


def name_columns(model: type[models.Model]) -> None:
    """Give the model's nameless fields their words."""
    for field in model._meta.fields:
        if field._verbose_name is None and field.name in WORDS:
            field.verbose_name = WORDS[field.name]
