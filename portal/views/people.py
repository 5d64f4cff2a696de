"""Members and invitations: who is there as what, inviting, giving and taking roles, following the link of a mail."""
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _

from compute.network.views.asking import ask, sent, show_form
from portal.kernel.pages import acted
from portal.people_forms import InviteForm, RoleForm
from portal.people_lists import InvitationList, MemberList, read_members
from tenants import invitations, people
from tenants.access import fetch
from tenants.errors import InvitationOver
from tenants.models import Binding, Invitation, Organization, User
from tenants.pages import SIGNED_IN, page
from tenants.people import MANAGE


@page("member.view")
def listing(request: HttpRequest) -> HttpResponse:
    """Who is in the organizations that the user belongs to."""
    return MemberList(request).answer()


@page(MANAGE, methods=("GET", "POST"))
def invite(request: HttpRequest) -> HttpResponse:
    form = InviteForm(sent(request), user=request.user)
    if request.method == "POST" and form.carried_out(
            lambda: invitations.invite(form.cleaned_data["email"], *form.chosen, actor=request.user)):
        text = _("The invitation is on its way to %(email)s.") % {"email": form.cleaned_data["email"]}
        return acted(request, text, reverse("invitations:list"))
    lead = _("The mail holds a link that works once, within 7 days, for whoever opens it.")
    return show_form(request, form, title=_("Invite somebody"), action=_("Send invitation"), lead=lead,
                     back=reverse("members:list"))


@page("member.view")
def detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A person: roles, groups, and what those who manage members do about it."""
    return _show(request, _member(request, "member.view", pk))


def _member(request: HttpRequest, permission: str, pk: UUID) -> User:
    return fetch(request.user, User.objects, permission, pk=pk)


def _show(request: HttpRequest, member: User, form: RoleForm | None = None) -> HttpResponse:
    [held] = read_members([member], request.user)
    grants, organizations = request.user.grants, {one.binding.organization for one in held.roles}
    form = form or (RoleForm(user=request.user) if grants.may_anywhere(MANAGE) else None)
    return render(request, "tenants/member.html", {
        "member": member, "held": held, "form": form, "name": member.get_full_name() or member.username,
        "managed": [one for one in organizations if grants.may_in_organization(MANAGE, one.pk)],
        "owned": [one for one in organizations if grants.may_in_organization("organization.manage", one.pk)],
        "crumbs": [(member.username, "")]}, status=form.status if form else 200)


@page(MANAGE, methods=("POST",))
def bind(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Give the member a role."""
    member = _member(request, MANAGE, pk)
    form = RoleForm(request.POST, user=request.user)
    if form.carried_out(lambda: people.give_role(*form.chosen, to=member, actor=request.user)):
        return acted(request, _("The role was given."), reverse("members:detail", args=[pk]), leave=True)
    return _show(request, member, form)


@page(MANAGE, methods=("POST",))
def unbind(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Take a role away, of a member or of a group."""
    binding = fetch(request.user, Binding.objects.select_related("organization", "project", "user", "group__auth_group"), MANAGE,
                    pk=pk)
    back = (reverse("members:detail", args=[binding.user_id]) if binding.user_id
            else reverse("groups:detail", args=[binding.group_id]))
    question = ask(request, title=_("Take this role away?"), yes=_("Take away"), back=back,
                   text=_("What it allows is refused from the next request on."))
    if question:
        return question
    people.take_role(binding, actor=request.user)
    return acted(request, _("The role was taken away."), reverse("members:list") if binding.user_id else back, leave=True)


@page(MANAGE, methods=("POST",))
def remove(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Out of an organization, with all roles and groups."""
    member = _member(request, MANAGE, pk)
    organization = _organization(request, MANAGE)
    question = _ask(request, member, organization, title=_("Remove %(member)s from %(organization)s?"), yes=_("Remove"),
                    text=_("All roles and groups there are taken away, from the next request on."))
    if question:
        return question
    people.remove_member(member, organization, actor=request.user)
    return acted(request, _("The member was removed."), reverse("members:list"), leave=True)


@page("organization.manage", methods=("POST",))
def make_owner(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Hand an organization over."""
    member = _member(request, "organization.manage", pk)
    organization = _organization(request, "organization.manage")
    question = _ask(request, member, organization, title=_("Make %(member)s the owner of %(organization)s?"),
                    yes=_("Hand over"), text=_("You become an administrator of it. Only the new owner can undo this."))
    if question:
        return question
    people.transfer_ownership(organization, to=member, actor=request.user)
    return acted(request, _("The organization was handed over."), reverse("members:list"), leave=True)


def _organization(request: HttpRequest, permission: str) -> Organization:
    """The one that was sent. Raises NotFound for one that is hidden, Forbidden."""
    return fetch(request.user, Organization.objects, permission, pk=request.POST.get("organization"))


def _ask(request: HttpRequest, member: User, organization: Organization, *, title: str, text: str,
         yes: str) -> HttpResponse | None:
    """The question as a page, which carries the organization on; None once it is confirmed."""
    if "confirmed" in request.POST:
        return None
    names = {"member": member.get_full_name() or member.username, "organization": organization.name}
    return render(request, "tenants/confirm.html", {
        "title": title % names, "text": text, "yes": yes, "organization": organization,
        "back": reverse("members:detail", args=[member.pk])})


# -- invitations --

@page(MANAGE)
def invited(request: HttpRequest) -> HttpResponse:
    return InvitationList(request).answer()


@page(MANAGE, methods=("POST",))
def revoke(request: HttpRequest, pk: UUID) -> HttpResponse:
    invitation = fetch(request.user, Invitation.objects, MANAGE, pk=pk)
    question = ask(request, title=_("Revoke the invitation of “%(email)s”?") % {"email": invitation.email}, yes=_("Revoke"),
                   text=_("Its link is worth nothing from now on."), back=reverse("invitations:list"))
    if question:
        return question
    invitations.revoke(invitation, actor=request.user)
    return acted(request, _("The invitation was revoked."), reverse("invitations:list"), leave=True)


@page(MANAGE, methods=("POST",))
def resend(request: HttpRequest, pk: UUID) -> HttpResponse:
    invitation = fetch(request.user, Invitation.objects, MANAGE, pk=pk)
    invitations.resend(invitation, actor=request.user)
    return acted(request, _("The mail was sent again, with a new link."), reverse("invitations:list"), leave=True)


@page(public=True)
def accept(request: HttpRequest) -> HttpResponse:
    """Where the link of the mail leads. The token goes into the session and out of the address; the rest is a question."""
    if token := request.GET.get("token"):
        request.session[invitations.SESSION_KEY] = token[:100]
        return redirect("invitations:accept")
    invitation = invitations.of_visitor(request)
    return render(request, "tenants/accept.html", {
        "invitation": invitation, "here": reverse("invitations:accept"), "over": InvitationOver(),
        "role": invitation and invitations.role_label(invitation.role, invitation.organization)})


@page(SIGNED_IN, methods=("POST",))
def join(request: HttpRequest) -> HttpResponse:
    """Accept the invitation whose link was followed."""
    invitation = invitations.accept(request.session.get(invitations.SESSION_KEY, ""), user=request.user)
    del request.session[invitations.SESSION_KEY]
    text = _("Welcome to %(organization)s.") % {"organization": invitation.organization.name}
    return acted(request, text, reverse("dashboard"))
