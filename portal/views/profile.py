"""The user's own account: the organizations they are in, leaving them, and being forgotten."""
from django.contrib import messages
from django.contrib.auth import logout
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from portal.kernel.errors import NotFound
from portal.kernel.pages import acted
from portal.people_forms import DeleteAccountForm
from portal.people_lists import read_members
from tenants import people
from tenants.models import Organization
from tenants.pages import page


@page()
def show(request: HttpRequest) -> HttpResponse:
    return _show(request, DeleteAccountForm(user=request.user))


def _show(request: HttpRequest, form: DeleteAccountForm) -> HttpResponse:
    [held] = read_members([request.user], request.user)
    mine = [] if request.user.grants.sees_everything else Organization.objects.visible_to(request.user)
    return render(request, "tenants/profile.html", {"form": form, "held": held, "organizations": mine}, status=form.status)


@page(methods=("POST",))
def leave(request: HttpRequest) -> HttpResponse:
    """Out of an organization."""
    try:
        organization = Organization.objects.visible_to(request.user).get(pk=request.POST.get("organization"))
    except (Organization.DoesNotExist, ValueError, ValidationError) as error:
        raise NotFound from error
    if "confirmed" not in request.POST:
        return render(request, "tenants/confirm.html", {
            "title": _("Leave %(organization)s?") % {"organization": organization.name}, "yes": _("Leave"),
            "text": _("You lose all roles there at once. Only somebody who manages its members can let you in again."),
            "organization": organization, "back": reverse("profile:page")})
    people.remove_member(request.user, organization, actor=request.user)
    return acted(request, _("You have left the organization."), reverse("profile:page"), leave=True)


@page(methods=("POST",))
def delete(request: HttpRequest) -> HttpResponse:
    """Forget the person, for ever."""
    form = DeleteAccountForm(request.POST, user=request.user)
    if not form.carried_out(lambda: people.delete_account(request.user)):
        return _show(request, form)
    logout(request)
    messages.success(request, _("Your account is deleted."))
    return redirect("account_login")
