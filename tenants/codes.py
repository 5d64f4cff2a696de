"""Proving a second factor: codes of an app, each good once, recovery codes, passkeys. Failures count against the lock-out."""
from typing import Any

from allauth.account.adapter import get_adapter as account_adapter
from allauth.core import context
from allauth.mfa.adapter import get_adapter
from allauth.mfa.base import forms as base
from allauth.mfa.base.internal.flows import check_rate_limit
from allauth.mfa.internal.flows.add import validate_can_add_authenticator
from allauth.mfa.models import Authenticator
from allauth.mfa.totp import forms as totp
from allauth.mfa.totp.internal import auth
from allauth.mfa.utils import decrypt
from allauth.mfa.webauthn import forms as webauthn
from django import forms
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext_lazy as _

from portal.kernel import audit
from tenants import lockout
from tenants.factors import USED
from tenants.models import User

LONGEST_NAME = 60


def step_of(secret: str, code: str) -> int | None:
    """The step of time that the code is of, among those that are near enough; None for a wrong one."""
    digits = "".join(code.split())
    for step in auth.yield_hotp_counters_from_time():
        if constant_time_compare(digits, auth.format_hotp_value(auth.hotp_value(secret, step))):
            return step
    return None


@transaction.atomic
def use_app_code(app: Authenticator, code: str) -> bool:
    """Whether the code is right and newer than the last that was used. It is used by this, whoever else sends it at once."""
    row = Authenticator.objects.select_for_update().get(pk=app.pk)
    step = step_of(decrypt(row.data["secret"]), code)
    if step is None or step <= row.data.get(USED, 0):
        return False
    row.data[USED] = step
    row.save(update_fields=["data"])
    return True


class CodeForm(base.AuthenticateForm):
    """A code of the app, or one of the recovery codes."""

    code = forms.CharField(label=_("Code"), max_length=20, widget=forms.TextInput(
        attrs={"autocomplete": "one-time-code", "inputmode": "numeric", "autofocus": True}))

    def clean_code(self) -> str:
        if lockout.is_shut(context.request, self.user):
            raise account_adapter().validation_error("too_many_login_attempts")
        forget = check_rate_limit(self.user)
        code = self.cleaned_data["code"]
        for one in Authenticator.objects.filter(user=self.user, type__in=("totp", "recovery_codes")).order_by("-type"):
            is_right = use_app_code(one, code) if one.type == Authenticator.Type.TOTP else one.wrap().validate_code(code)
            if is_right:
                self.authenticator = Authenticator.objects.get(pk=one.pk)
                forget()
                return code
        note_failure(self.user)
        raise get_adapter().validation_error("incorrect_code")

    def save(self) -> None:
        super().save()
        note_use(self.authenticator, self.user)


class CodeAgainForm(CodeForm, base.ReauthenticateForm):
    """The same, before something that matters."""

    def save(self) -> None:
        base.ReauthenticateForm.save(self)
        note_use(self.authenticator, self.user)


class FirstCodeForm(totp.ActivateTOTPForm):
    """The first code of an app that is being set up; it is not good again for signing in."""

    code = forms.CharField(label=_("Code that the app shows"), max_length=20, widget=forms.TextInput(
        attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}))

    def clean_code(self) -> str:
        validate_can_add_authenticator(self.user)
        forget = check_rate_limit(self.user, error_key="rate_limited")
        code = self.cleaned_data["code"]
        step = step_of(self.secret, code)
        if step is None:
            raise get_adapter().validation_error("incorrect_code")
        forget()
        context.request.first_step = step  # until the row is there (tenants.adapter)
        return code


class PasskeyForm(webauthn.AddWebAuthnForm):
    """A new passkey: of the kind that a browser finds by itself, or one that only comes after the password."""

    name = forms.CharField(label=_("Name"), required=False, max_length=LONGEST_NAME,
                           help_text=_("By which you know it, for example “laptop”."))
    passwordless = forms.BooleanField(label=_("Sign in with it instead of the password"), required=False, initial=True)

    def clean(self) -> dict[str, Any]:
        try:
            return super().clean()
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise get_adapter().validation_error("incorrect_code") from error


class _Proof:
    """What any use of a passkey has in common."""

    def clean_credential(self) -> Authenticator:
        try:
            return super().clean_credential()
        except ValidationError:
            if self.user is not None:
                note_failure(self.user)
            raise
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise get_adapter().validation_error("incorrect_code") from error


class PasskeyProofForm(_Proof, webauthn.AuthenticateWebAuthnForm):
    """A passkey as the second step."""


class PasskeyAgainForm(_Proof, webauthn.ReauthenticateWebAuthnForm):
    """A passkey before something that matters."""


class PasskeyLoginForm(_Proof, webauthn.LoginWebAuthnForm):
    """A passkey instead of the password."""


class PasskeyNameForm(webauthn.EditWebAuthnForm):
    name = forms.CharField(label=_("Name"), max_length=LONGEST_NAME)


def note_use(factor: Authenticator, user: User) -> None:
    """A recovery code is for an emergency: each use is told, with how many are left."""
    if factor.type == Authenticator.Type.RECOVERY_CODES:
        left = len(factor.wrap().get_unused_codes())
        audit.record("user.recovery_code", user, actor=user, after={"left": left})
        account_adapter().send_notification_mail("mfa/email/recovery_code_used", user, context={"left": left})


def note_failure(user: User) -> None:
    """Counted with wrong passwords of the same person from the same address."""
    lockout.note_failure(context.request, user)
    audit.refuse("user.second_factor", user, actor=user, reason="wrong")
