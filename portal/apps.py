from django.apps import AppConfig


class PortalConfig(AppConfig):
    """The site itself: what joins all rooms (dashboard, search, navigation)."""

    name = "portal"

    def ready(self) -> None:
        from portal import checks  # noqa: F401  (registers them)
