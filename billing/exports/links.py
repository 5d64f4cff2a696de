"""Signed links to files: whoever has one may fetch the file for an hour, without a session. It is made only for who may see the
export, says for whom, and is good for nothing when they may see it no longer."""
from uuid import UUID

from django.core import signing
from django.db import transaction
from django.urls import reverse

from billing.exports import files
from billing.exports.errors import LinkExpired
from billing.exports.verbs import require_ready
from billing.models import Export
from portal.kernel import audit
from portal.kernel.errors import NotFound
from tenants.models import User

SALT, GOOD_FOR_S, LONGEST = "billing.export", 3600, 500
VIEW = "invoice.view"


@transaction.atomic
def make_link(export: Export, *, actor: User) -> str:
    """The address, without the site's. Raises StateConflict unless there is a file."""
    require_ready(export)
    audit.record("export.link", export, actor=actor)
    signature = signing.dumps([str(export.pk), str(actor.pk)], salt=SALT)
    return f"{reverse('exports:download', args=[export.pk])}?signature={signature}"


@transaction.atomic
def follow(pk: UUID, signature: str) -> Export:
    """The export that the link leads to. Raises LinkExpired for one that was good once, NotFound for any other."""
    try:
        signed, maker = signing.loads(signature[:LONGEST], salt=SALT, max_age=GOOD_FOR_S)
    except signing.SignatureExpired as error:
        raise LinkExpired from error
    except signing.BadSignature as error:
        raise NotFound from error
    user = User.objects.filter(pk=maker, is_active=True).first()
    export = user and Export.objects.visible_to(user, VIEW).filter(pk=pk, state=Export.State.READY).first()
    if signed != str(pk) or not export or not files.file_of(pk).exists():
        raise NotFound
    audit.record("export.download", export, actor=user)
    return export
