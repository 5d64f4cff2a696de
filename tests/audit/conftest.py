"""A trail to rewrite: the cast's organizations, and fifty rows of Acme's project, sealed."""
import pytest

from portal.kernel import audit, sealing
from portal.kernel.models import AuditChain
from tests.cast import Cast, make_cast

ROWS = 50


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture
def chain(cast: Cast) -> AuditChain:
    for number in range(ROWS):
        audit.record("project.change", cast.project, actor=cast.alice, after={"description": f"number {number}"})
    sealing.seal()
    return AuditChain.objects.get(organization=cast.organization)
