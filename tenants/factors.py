"""Second factors: authenticator apps, passkeys, recovery codes. allauth keeps them (its table `mfa_authenticator`); here is who
counts as having one, how their secrets rest, and what operators do for somebody who lost theirs.
"""
from typing import Any
from uuid import UUID

from allauth.account.adapter import get_adapter as account_adapter
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.db import transaction
from django.db.models import CharField, Exists, Q
from django.db.models.functions import Cast
from django.utils.translation import gettext

from portal.kernel import audit
from portal.kernel.errors import InvalidInput
from portal.kernel.secrets import keyring
from tenants.models import Connection, User

FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)
"""What counts. Recovery codes stand in for one of these and are none by themselves."""
USED = "used_until"
"""In an app's row: the step of time whose code, and all before it, are good no more."""
SECRETS = {Authenticator.Type.TOTP: "secret", Authenticator.Type.RECOVERY_CODES: "seed"}


def without_factor(user_id: UUID) -> Q:
    """Whether the user has no second factor: neither one here, nor only ever comes through a provider that asks for one."""
    own = Authenticator.objects.filter(user=user_id, type__in=FACTORS)
    proving = Connection.objects.filter(proves_mfa=True, is_enabled=True).annotate(text=Cast("pk", CharField()))
    elsewhere = SocialAccount.objects.filter(user=user_id, user__password__startswith=UNUSABLE_PASSWORD_PREFIX,
                                             provider__in=proving.values("text"))
    # A service user is a program that never signs in; its keys are its only credential.
    return ~Exists(own) & ~Exists(elsewhere) & ~Exists(User.objects.filter(pk=user_id, is_service=True))


def has_factor(user: User) -> bool:
    """The same of one user, asked by itself."""
    return not User.objects.filter(without_factor(user.pk), pk=user.pk).exists()


def require_factor(user: User) -> None:
    """Raise InvalidInput unless the user could go on in an organization that requires one: nobody shuts themselves out."""
    if not has_factor(user):
        raise InvalidInput.field("requires_mfa", gettext(
            "Set up two-step sign-in for yourself first, or you would shut yourself out."))


@transaction.atomic
def remove_all(user: User, *, actor: User) -> int:
    """For somebody who lost theirs: from now on the password is enough, where nothing requires more. How many went."""
    gone = list(Authenticator.objects.select_for_update().filter(user=user))
    Authenticator.objects.filter(pk__in=[one.pk for one in gone]).delete()
    audit.record("user.factors_reset", user, actor=actor, before={"factors": [str(one.type) for one in gone]})
    transaction.on_commit(lambda: account_adapter().send_notification_mail("mfa/email/factors_reset", user), robust=True)
    return len(gone)


def burn_first_code(user: User, step: int) -> None:
    """The code with which an app was set up signs nobody in."""
    for row in Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP):
        row.data[USED] = max(step, row.data.get(USED, 0))
        row.save(update_fields=["data"])


def rotate() -> tuple[str, int]:
    """Write all secrets with the newest master key (`manage.py rotate_secrets`); which table, and how many rows."""
    rows = Authenticator.objects.select_for_update().filter(type__in=SECRETS)
    for row in rows:
        name = SECRETS[row.type]
        row.data[name] = keyring().rotate(row.data[name].encode()).decode()
        row.save(update_fields=["data"])
    return Authenticator._meta.label, len(rows)


class MfaAdapter(DefaultMFAAdapter):
    """allauth's hooks."""

    def encrypt(self, text: str) -> str:
        return keyring().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        return keyring().decrypt(encrypted_text.encode()).decode()

    def generate_authenticator_name(self, user: User, type: Any) -> str:
        number = Authenticator.objects.filter(user=user, type=type).count() + 1
        return gettext("Passkey") if number == 1 else gettext("Passkey %(number)s") % {"number": number}

    def _get_site_name(self) -> str:
        return "Mains"
