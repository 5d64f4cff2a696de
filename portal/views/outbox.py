"""Operators read the mails of a portal that has no mail server."""
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from portal import outbox
from portal.kernel.rest.rights import STAFF
from tenants.pages import page


@page(STAFF)
def listing(request: HttpRequest) -> HttpResponse:
    """All mails, and the one that `?mail=` names (the newest when none does)."""
    mails = outbox.mails()
    asked = request.GET.get("mail")
    chosen = next((mail for mail in mails if asked in (None, mail.id)), None)
    return render(request, "operator/outbox.html", {"mails": mails, "chosen": chosen, "asked": asked})
