"""Sign-up: a stranger becomes a user with an organization on trial, in one transaction. It joins tenants and billing.

Who may sign up is the adapter's business (`tenants.adapter`), what a trial may take the settings' (`PLANS`).
"""
from datetime import timedelta
from typing import Any

from allauth.account.forms import SignupForm as AllauthSignupForm
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from billing.operations import grant_credit
from portal.kernel.fields import NameField
from portal.kernel.names import is_name
from portal.kernel.states import database_now
from tenants import invitations
from tenants import operations as tenants
from tenants.models import Organization, Project, User
from tenants.names import RESERVED_RULE, is_reserved


@transaction.atomic
def open_account(user: User, organization_name: str) -> Project:
    """What a new user starts with: an organization on trial that they own, a project with its networks, and some credit."""
    organization = tenants.create_organization(organization_name, owner=user, actor=user, plan=Organization.Plan.TRIAL)
    project = tenants.create_project(organization, gettext("Default"), actor=user)
    if settings.TRIAL_CREDIT:
        now = database_now()
        grant_credit(organization, amount=settings.TRIAL_CREDIT, reason=gettext("Trial credit"), actor=None, now=now,
                     expires_at=now + timedelta(days=settings.TRIAL_DAYS))
    return project


def derived_name(email: str) -> str:
    """An organization's name for somebody who gave none: what stands before the @."""
    stem = email.partition("@")[0].strip()
    return stem if stem and is_name(stem) and not is_reserved(stem) else gettext("My organization")


class SignupForm(AllauthSignupForm):
    """E-mail, password, and what to call the organization."""

    organization = NameField(label=_("Organization"), required=False,
                             help_text=_("Your company or team; you can change it later."))
    field_order = ("email", "password1", "organization")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["email"].label = _("E-mail")
        self.fields["password1"].label = _("Password")
        self.fields["password1"].help_text = _("At least 10 characters.")
        for field in self.fields.values():
            field.widget.attrs.pop("placeholder", None)
        if not settings.SIGNUP_OPEN:  # nobody but the invited gets here, and an invitation is to one organization
            del self.fields["organization"]

    def clean_organization(self) -> str:
        name = self.cleaned_data["organization"]
        if is_reserved(name):
            raise ValidationError(RESERVED_RULE, code="reserved")
        return name

    @transaction.atomic
    def save(self, request: HttpRequest) -> User:
        user = super().save(request)
        named = self.cleaned_data.get("organization", "")
        if named or invitations.of_visitor(request) is None:  # whoever is invited has a place to go
            open_account(user, named or derived_name(user.email))
        return user

    def try_save(self, request: HttpRequest) -> tuple[User | None, HttpResponse | None]:
        if self.account_already_exists:  # takes about as long as if it did not
            make_password(self.cleaned_data["password1"])
        return super().try_save(request)
