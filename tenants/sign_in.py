"""Stages of signing in, in place of allauth's own where Mains wants something else."""
from allauth.account.models import EmailAddress
from allauth.account.stages import EmailVerificationStage
from django.http import HttpResponse


class ProvenAddress(EmailVerificationStage):
    """Who signed up by themselves proves the address; accounts that operators made, and superusers, need not."""

    def handle(self) -> tuple[HttpResponse | None, bool]:
        user = self.login.user
        if user is not None and not self.login.signup and (
                user.is_superuser or not EmailAddress.objects.filter(user=user).exists()):
            return None, True
        return super().handle()
