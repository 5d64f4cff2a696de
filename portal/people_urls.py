"""Addresses of the pages about people."""
from django.urls import include, path

from portal.notices import views as notices
from portal.people_lists import GroupList, InvitationList, MemberList
from portal.views import groups, people, profile, sessions
from tenants.bulk import bulk_paths

member_pages = [
    path("", people.listing, name="list"),
    path("invite/", people.invite, name="invite"),
    path("<uuid:pk>/", people.detail, name="detail"),
    path("<uuid:pk>/bind/", people.bind, name="bind"),
    path("<uuid:pk>/remove/", people.remove, name="remove"),
    path("<uuid:pk>/make-owner/", people.make_owner, name="make-owner"),
    *bulk_paths(MemberList),
]
invitation_pages = [
    path("", people.invited, name="list"),
    path("accept/", people.accept, name="accept"),
    path("join/", people.join, name="join"),
    path("<uuid:pk>/revoke/", people.revoke, name="revoke"),
    path("<uuid:pk>/resend/", people.resend, name="resend"),
    *bulk_paths(InvitationList),
]
group_pages = [
    path("", groups.listing, name="list"),
    path("create/", groups.create, name="create"),
    path("<uuid:pk>/", groups.detail, name="detail"),
    path("<uuid:pk>/rename/", groups.rename, name="rename"),
    path("<uuid:pk>/add/", groups.add, name="add"),
    path("<uuid:pk>/drop/", groups.drop, name="drop"),
    path("<uuid:pk>/bind/", groups.bind, name="bind"),
    path("<uuid:pk>/delete/", groups.delete, name="delete"),
    *bulk_paths(GroupList),
]
role_pages = [
    path("", groups.roles, name="list"),
    path("create/", groups.create_role, name="create"),
    path("<uuid:pk>/edit/", groups.edit_role, name="edit"),
    path("<uuid:pk>/delete/", groups.delete_role, name="delete"),
]
profile_pages = [
    path("", profile.show, name="page"),
    path("notifications/", notices.settings, name="notifications"),
    path("leave/", profile.leave, name="leave"),
    path("delete/", profile.delete, name="delete"),
]
session_pages = [
    path("", sessions.listing, name="list"),
    path("end-others/", sessions.end_others, name="end-others"),
    path("<uuid:pk>/end/", sessions.end, name="end"),
]

urlpatterns = [
    path("members/", include((member_pages, "members"))),
    path("bindings/", include(([path("<uuid:pk>/delete/", people.unbind, name="delete")], "bindings"))),
    path("invitations/", include((invitation_pages, "invitations"))),
    path("groups/", include((group_pages, "groups"))),
    path("roles/", include((role_pages, "roles"))),
    path("profile/", include((profile_pages, "profile"))),
    path("profile/sessions/", include((session_pages, "sessions"))),
]
