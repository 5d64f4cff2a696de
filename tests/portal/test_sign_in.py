"""Signing in with what no user could be called."""
import pytest
from django.test import Client


@pytest.mark.django_db
@pytest.mark.parametrize("login", ["x" * 5000, "x" * 255, "x" * 250 + "@example.org", "\0", "x\0@example.org", "' OR 1=1 --",
                                   "Ω" * 254])
def test_a_login_that_nobody_has_is_answered_as_a_wrong_password(client: Client, login: str) -> None:
    response = client.post("/accounts/login/", {"login": login, "password": "x" * 100})
    assert response.status_code == 200 and b'name="password"' in response.content
    assert "_auth_user_id" not in client.session
