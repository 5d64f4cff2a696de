"""What the matrix's scene lacks for admin: a row of every other registered model, staff with chosen permissions, addresses."""
from datetime import timedelta
from decimal import Decimal
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib import admin
from django.contrib.auth.models import Group as DjangoGroup
from django.contrib.auth.models import Permission
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from billing.models import (
    BillingProfile,
    Charge,
    ClosingFailure,
    Credit,
    Dunning,
    Invoice,
    InvoiceLine,
    InvoiceMail,
    Issuer,
    Outage,
    PriceBook,
    Series,
    TaxRate,
    Terms,
    Voucher,
    VoucherUse,
)
from compute.hosts.models import Claim, Discovered, Endpoint, Host, SshIdentity, Verdict
from compute.instances.console.models import ConsoleLink, ConsoleTicket
from compute.instances.models import Instance
from compute.monitoring.models import MeasuringPass
from compute.network.models import FloatingIp, TrafficCount
from portal.kernel.models import AuditChain, Hold, Operation, Resource
from portal.kernel.states import database_now
from portal.notices.models import Letter, Notice, Preferences
from storage.models import Attachment, Image, ImageCopy, Pool, Volume
from tenants.models import Connection, FormerPlace, Impersonation, Quota, User
from tests.cast import Cast
from tests.portal.scenery import Rows, Scene


def make_rest(cast: Cast, rows: Rows) -> Rows:
    """What only operators look at."""
    now, host, instance = database_now(), rows[Host], rows[Instance]
    who = {"username": "mallory", "ip_address": "198.51.100.7", "path_info": "/accounts/login/", "user_agent": "curl"}
    return {
        Resource: Resource.objects.latest("created_at"), Endpoint: host.endpoint, PriceBook: PriceBook.objects.get(),
        Attachment: Attachment.objects.get(volume=rows[Volume]),
        Hold: Hold.objects.create(resource_id=rows[Image].pk, operation=rows[Operation]),
        AuditChain: AuditChain.objects.create(organization=cast.organization),
        Claim: Claim.objects.create(provider=host, consumer=instance, resource_class="vcpu", amount=1),
        TrafficCount: TrafficCount.objects.create(host=host, floating_ip=rows[FloatingIp], address="198.51.100.7", sku="public",
                                                  began_at=now),
        MeasuringPass: MeasuringPass.objects.create(host=host, at=now, duration_ms=12, domains=3, passes=1),
        Verdict: Verdict.objects.create(consumer=instance, host=host, reason="no_vcpu"),
        Discovered: Discovered.objects.create(host=host, kind="domain", key="x", name="stray", last_seen_at=now),
        SshIdentity: SshIdentity.objects.create(region=cast.region, public_key="ssh-ed25519 AAAA mains", private_key="SECRET"),
        ImageCopy: ImageCopy.objects.create(image=rows[Image], pool=rows[Pool]),
        ConsoleTicket: ConsoleTicket.objects.create(instance=instance, user=cast.alice, session_hash="x", secret_hash="y",
                                                    generation=1, expires_at=now + timedelta(seconds=30)),
        ConsoleLink: ConsoleLink.objects.create(instance=instance, maker=cast.alice, secret_hash="z", generation=1,
                                                expires_at=now + timedelta(hours=1)),
        Quota: Quota.objects.create(organization=cast.organization, region=cast.region, dimension="instances", limit=10),
        Credit: (credit := Credit.objects.create(organization=cast.organization, amount=Decimal(5), currency="CNY",
                                                 reason="trial", created_at=now)),
        VoucherUse: VoucherUse.objects.create(voucher=rows[Voucher], organization=cast.organization, credit=credit, used_at=now),
        InvoiceLine: (line := InvoiceLine.objects.get(invoice=rows[Invoice])), Charge: line.charges.first(),
        Dunning: Dunning.objects.create(organization=cast.organization, rung="reminder", cause="overdue", began_at=now,
                                        since=now),
        InvoiceMail: InvoiceMail.objects.create(invoice=rows[Invoice], address="bills@acme.example", next_at=now,
                                                created_at=now),
        ClosingFailure: ClosingFailure.objects.create(organization=cast.organization, month="2026-10", error="out of paper",
                                                      first_at=now, last_at=now),
        BillingProfile: BillingProfile.objects.create(organization=cast.organization, name="Acme Ltd"),
        Issuer: Issuer.objects.create(pk=1, name="Waterworks Ltd"), Series: Series.objects.create(name="INV-2026", last=7),
        TaxRate: TaxRate.objects.create(country="CN", name="VAT", percent=13, since=now.date()),
        Terms: Terms.objects.create(organization=cast.organization, discount_percent=5, valid=DateTimeTZRange(now, None)),
        Outage: Outage.objects.create(resource_id=instance.pk, reason="Fire", created_at=now,
                                      period=DateTimeTZRange(now - timedelta(hours=1), now)),
        DjangoGroup: DjangoGroup.objects.create(name="night shift"),
        **make_letter(cast, rows[Operation]),
        Impersonation: Impersonation.objects.create(operator=cast.root, user=cast.vera, reason="look", started_at=now,
                                                    expires_at=now + timedelta(minutes=30)),
        FormerPlace: FormerPlace.objects.create(project=cast.project, path=cast.project.path, until=now),
        EmailAddress: EmailAddress.objects.create(user=cast.alice, email="alice@example.org"),
        Connection: Connection.objects.create(slug="acme", name="Acme ID", issuer="https://id.acme.example", client_id="mains",
                                              client_secret="SECRET", organization=cast.organization),
        Authenticator: Authenticator.objects.create(user=cast.alice, type="totp", data={"secret": "SECRET"}),
        SocialAccount: SocialAccount.objects.create(user=cast.alice, provider="acme", uid="alice", extra_data={}),
        AccessAttempt: AccessAttempt.objects.create(**who, get_data="", post_data="", failures_since_start=10),
        AccessFailureLog: AccessFailureLog.objects.create(**who), AccessLog: AccessLog.objects.create(**who),
    }


def make_letter(cast: Cast, operation: Operation) -> Rows:
    """A notification on its way, and what was chosen."""
    now = database_now()
    letter = Letter.objects.create(user=cast.alice, next_at=now)
    return {Letter: letter, Preferences: Preferences.objects.create(user=cast.alice, mails={"operation.own": "now"}),
            Notice: Notice.objects.create(user=cast.alice, kind="operation.own", act="instance.start.failed", at=now, due_at=now,
                                          event_id=operation.pk, project=cast.project, letter=letter)}


def staff(scene: Scene, *permissions: str) -> Client:
    """Somebody whom Django lets into admin with the named permissions (`view_host`) and no more."""
    person = User.objects.create(username="clerk", is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(person)
    return client


def page(model: type[Model], name: str = "changelist", *arguments: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=arguments)


def read_only() -> list[type[Model]]:
    """What admin shows and never changes: money, operations, the audit trail, all that tenants made, and sign-ins."""
    from portal.kernel.admin import ReadOnlyAdmin

    return [model for model, registered in admin.site._registry.items() if isinstance(registered, ReadOnlyAdmin)]


def said(response: Any) -> str:
    """The messages on the page that a redirect led to."""
    return " | ".join(str(message) for message in response.context["messages"])


