"""Settings of the site. Everything that differs between machines comes from the environment (portal/env.py)."""
import logging
from decimal import Decimal
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import unquote, urlsplit

from csp.constants import NONCE, NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.templatetags.static import static
from django.utils.translation import gettext_lazy as _

from portal import env

BASE_DIR = Path(__file__).resolve().parent.parent

# Where this run keeps its state: keys, host-key files, the image store, collected static files.
STATE_DIR = Path(env.text("MAINS_STATE_DIR", str(BASE_DIR / "var" / "run")))
DEBUG = env.flag("DEBUG")
DEMO = env.flag("MAINS_DEMO")  # demo users and var/demo.json: never in production
DEMO_FILE = Path(env.text("MAINS_DEMO_FILE", str(BASE_DIR / "var" / "demo.json")))
LAB_NAME = env.text("MAINS_LAB", "mains")
SECRET_KEY = env.text("SECRET_KEY")
# Newest first; all can decrypt, the first encrypts. `manage.py rotate_secrets` rewrites what older keys wrote.
MASTER_KEYS = env.text("MASTER_KEYS").split(",")
SITE_URL = env.text("MAINS_URL", "http://127.0.0.1:8000")
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]" + ("," + (urlsplit(SITE_URL).hostname or "")))
CSRF_TRUSTED_ORIGINS = [SITE_URL]

INSTALLED_APPS = [
    "portal.apps.PortalConfig",
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "django.forms",
    "channels",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "guardian",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "axes",
    "csp",
    "django_htmx",
    "django_structlog",
    "portal.kernel.apps.KernelConfig",
    "tenants",
    "tenants.webhooks.apps.WebhooksConfig",
    "tenants.single_sign_on.apps.SingleSignOnConfig",
    "portal.notices.apps.NoticesConfig",
    "billing",
    "compute.hosts.apps.HostsConfig",
    "compute.monitoring.apps.MonitoringConfig",
    "storage",
    "compute.network.apps.NetworkConfig",
    "compute.instances.apps.InstancesConfig",
    "compute.instances.console.apps.ConsoleConfig",
    "compute.lab",
]

MIDDLEWARE = [
    "portal.health.MetricsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "portal.kernel.requests.RequestIdMiddleware",
    "portal.kernel.rest.flood.AddressMiddleware",
    "tenants.sessions.Middleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "tenants.impersonation.ImpersonationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "portal.kernel.requests.LogMiddleware",
    "portal.kernel.pages.ErrorMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "portal.urls"
FORM_RENDERER = "portal.kernel.selects.QuickSelects"  # widgets may be drawn by templates of ours
ASGI_APPLICATION = "portal.asgi.application"
TEMPLATES = [{
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "DIRS": [BASE_DIR / "templates"],
    "APP_DIRS": True,
    "OPTIONS": {
        "context_processors": [
            "django.template.context_processors.request",
            "django.contrib.auth.context_processors.auth",
            "django.contrib.messages.context_processors.messages",
            "django.template.context_processors.i18n",
            "csp.context_processors.nonce",
            "portal.context.shell",
        ],
        "builtins": ["portal.templatetags.ui", "portal.templatetags.frame"],
    },
}]


def _database(url: str, pool: int) -> dict[str, object]:
    parts = urlsplit(url)
    query = dict(pair.split("=", 1) for pair in parts.query.split("&") if "=" in pair)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": query.get("host", parts.hostname or ""),
        "PORT": str(parts.port or ""),
        # Values go beside the statements' text, and a text that comes again is planned once for its connection: planning took
        # four fifths of PostgreSQL's time for a page.
        # Connections outlive requests in a pool, where there is one: a new one takes 16 ms until it knows the tables. Only web
        # processes have one, since its threads do not survive a fork.
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        # One statement never blocks a worker for ever; a lost server is noticed. Plans are for short statements on disks
        # that seek for free: PostgreSQL's defaults are for spinning ones, compile what takes longer to compile than to run, and
        # divide among processes, which must be started first, what one has soon done: that took half of a filtered list's time.
        "OPTIONS": {"connect_timeout": 5, "options": "-c statement_timeout=30000 -c lock_timeout=10000 "
                                                     "-c idle_in_transaction_session_timeout=60000 "
                                                     "-c random_page_cost=1.1 -c jit=off -c max_parallel_workers_per_gather=0",
                    "server_side_binding": True, "prepare_threshold": 5,
                    **({"pool": {"min_size": 1, "max_size": pool, "timeout": 5}} if pool else {}),
                    **{name: unquote(query[name]) for name in ("sslmode", "sslrootcert") if name in query}},
    }


DATABASES = {"default": _database(env.text("DATABASE_URL"), env.integer("DATABASE_POOL", 20) if env.in_web_process else 0)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.text("REDIS_URL", "redis://127.0.0.1:6379/0")
CHANNEL_LAYERS = {"default": {
    "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
    # redis-py 8 closes idle sockets after 5 s unless told otherwise.
    "CONFIG": {"hosts": [{"address": REDIS_URL, "socket_timeout": None}], "prefix": "mains"},
}}
CACHES = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "cache"}}

# Celery is a doorbell: no results, no late acknowledgement, nothing that matters is ever in Redis.
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 1, "socket_timeout": 5, "max_retries": 1}
CELERY_TASK_PUBLISH_RETRY = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

# What an organization may take in every region when nothing else is set for it, by plan; none: without limit.
PLANS = {
    "standard": {"instance_schedules": 20},
    "trial": {"instances": 4, "vcpus": 8, "memory_mib": 8192, "volumes": 8, "volume_gib": 80, "vpcs": 2, "subnets": 6,
              "ports": 24, "security_groups": 8, "security_group_rules": 100, "floating_ips": 2, "images": 4, "image_gib": 40,
              "snapshots": 12,
              "api_keys": 10, "operations": 4, "instance_schedules": 4, "launch_templates": 10},
}
# Strangers sign up by themselves and get an organization on trial. In production only when said so.
SIGNUP_OPEN = env.flag("SIGNUP_OPEN", DEMO)
PRICE_CALCULATOR = env.flag("PRICE_CALCULATOR", True)  # list prices for everybody, signed in or not
TRIAL_CREDIT = Decimal(env.text("TRIAL_CREDIT", "20"))  # in the currency of the default price book
TRIAL_DAYS = env.integer("TRIAL_DAYS", 30)
RECYCLE_DAYS = env.integer("RECYCLE_DAYS", 7)  # how long a deleted instance can be restored
# The class by which customers pay by themselves; empty: they pay by bank, and operators record what they see there. The simulated
# one takes no money: by its page whoever says so has paid.
PAYMENT_PROVIDER = env.text("PAYMENT_PROVIDER", "billing.providers.Simulated" if DEMO else "")
if PAYMENT_PROVIDER == "billing.providers.Simulated" and not (DEMO or DEBUG):
    raise RuntimeError("The simulated payment provider gives money away: only with MAINS_DEMO=1 or DEBUG=1.")

AUTH_USER_MODEL = "tenants.User"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "tenants.sessions.PasswordBackend",
]
SESSION_ENGINE = "tenants.sessions"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher",
                    "django.contrib.auth.hashers.PBKDF2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "dashboard"
ACCOUNT_ADAPTER = "tenants.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_FORMS = {"signup": "portal.signup.SignupForm"}
# Nobody is stuck in a demo that sends no mail; elsewhere an address is proved before it opens anything.
ACCOUNT_EMAIL_VERIFICATION = "optional" if DEMO else "mandatory"
ACCOUNT_PREVENT_ENUMERATION = "strict"  # where addresses are not proved, two accounts may have the same
ACCOUNT_CONFIRM_EMAIL_ON_GET = False  # programs that look into mails confirm nothing
ACCOUNT_EMAIL_CONFIRMATION_HMAC = True
ACCOUNT_LOGIN_ON_PASSWORD_RESET = False
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_MAX_EMAIL_ADDRESSES = 3
ACCOUNT_DEFAULT_HTTP_PROTOCOL = urlsplit(SITE_URL).scheme
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_RATE_LIMITS = {"login": "60/m/ip", "login_failed": "10/5m/key", "signup": "10/m/ip,60/d/ip"}
# Authenticator apps, passkeys and recovery codes (tenants.factors).
MFA_ADAPTER = "tenants.factors.MfaAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_FORMS = {"authenticate": "tenants.codes.CodeForm", "reauthenticate": "tenants.codes.CodeAgainForm",
             "activate_totp": "tenants.codes.FirstCodeForm", "add_webauthn": "tenants.codes.PasskeyForm",
             "authenticate_webauthn": "tenants.codes.PasskeyProofForm", "login_webauthn": "tenants.codes.PasskeyLoginForm",
             "reauthenticate_webauthn": "tenants.codes.PasskeyAgainForm", "edit_webauthn": "tenants.codes.PasskeyNameForm"}
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = "Mains"
MFA_TOTP_TOLERANCE = 1  # telephones' clocks are off by some seconds; no code is good twice all the same
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_RATE_LIMITS = {"webauthn_login": "60/m/ip"}  # each sign-in is two of them, and a company has one address
MFA_ALLOW_UNVERIFIED_EMAIL = True  # who has a second factor may add an address; one that is not proved opens nothing
# Superusers get to nothing, admin included, until they have set up a second factor.
OPERATORS_REQUIRE_MFA = env.flag("OPERATORS_REQUIRE_MFA")
# Single sign-on (tenants.single_sign_on): providers are rows that operators make in admin.
SOCIALACCOUNT_ADAPTER = "tenants.single_sign_on.adapter.ConnectionsAdapter"
SOCIALACCOUNT_STORE_TOKENS = False
AXES_FAILURE_LIMIT = 10
AXES_COOLOFF_TIME = 0.25  # hours
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # nor does trying on make it longer
AXES_HANDLER = "tenants.lockout.Handler"
AXES_USERNAME_CALLABLE = "tenants.lockout.name_of"
AXES_CLIENT_IP_CALLABLE = "tenants.lockout.address_of"
AXES_LOCKOUT_CALLABLE = "tenants.lockout.page"
AXES_SENSITIVE_PARAMETERS = ["password", "code", "credential", "login"]
AXES_VERBOSE = False
GUARDIAN_RAISE_403 = False
# Guardian only stores bindings; `has_perm` is never asked (tenants.access), so its backend is not wanted.
SILENCED_SYSTEM_CHECKS = ["guardian.W001"]
ANONYMOUS_USER_NAME = None
# smtp://user:password@host:587?tls=1 or smtps://…; without it mails are kept as files, for operators to read (/operator/outbox/).
EMAIL_URL = env.text("EMAIL_URL", "")
EMAIL_FILE_PATH = STATE_DIR / "mail"
EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend" if EMAIL_URL else "portal.outbox.Outbox"
vars().update(env.mail_server(EMAIL_URL) if EMAIL_URL else {})
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.text("MAIL_FROM", f"Mains <noreply@{urlsplit(SITE_URL).hostname}>")

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
LOCALE_PATHS = [BASE_DIR / "portal" / "locale"]
FORMAT_MODULE_PATH = "portal.formats"
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = STATE_DIR / "static"
# The documentation's screens lie beside its text, so that a checkout shows them too.
STATICFILES_DIRS = [BASE_DIR / "static", ("docs", BASE_DIR / "portal" / "docs")]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
WHITENOISE_MANIFEST_STRICT = False
if DEMO:  # compressing takes minutes of processor time and saves nothing on the loopback address
    WHITENOISE_SKIP_COMPRESS_EXTENSIONS = ["css", "js", "map", "svg", "html", "json", "md", "txt", "woff", "woff2", "png",
                                           "ico", "gif", "jpg", "ttf", "eot"]
MEDIA_ROOT = STATE_DIR / "media"

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["tenants.authentication.ApiKeyAuthentication",
                                       "tenants.authentication.SessionAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "portal.kernel.rest.schema.AutoSchema",
    "EXCEPTION_HANDLER": "portal.kernel.rest.problem.handle",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Mains", "VERSION": "1", "OAS_VERSION": "3.1.1",
    "DESCRIPTION": "Cloud from the tap: instances, volumes, consoles and usage.",
    "SCHEMA_PATH_PREFIX": "/api/v1", "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR", "SWAGGER_UI_FAVICON_HREF": "SIDECAR", "REDOC_DIST": "SIDECAR",
    "POSTPROCESSING_HOOKS": ["drf_spectacular.hooks.postprocess_schema_enums", "portal.kernel.rest.compacting.compact"],
    "COMPONENT_SPLIT_REQUEST": True, "ENUM_NAME_OVERRIDES": {
        "WatchdogActionEnum": "compute.instances.models.WatchdogAction",
        "OperationStateEnum": "portal.kernel.models.Operation.State",
        "WebhookStateEnum": "tenants.webhooks.models.Webhook.State",
        "ConsoleTypeEnum": "compute.instances.console.models.ConsoleTicket.Type",
        "ExportScheduleStateEnum": "billing.models.exports.ExportSchedule.State"},
}

CONTENT_SECURITY_POLICY = {
    # Swagger's page and Unfold's admin need a looser policy of their own.
    "EXCLUDE_URL_PREFIXES": ["/admin/", "/api/v1/docs/"],
    "DIRECTIVES": {
        "default-src": [SELF], "script-src": [SELF, NONCE], "style-src": [SELF], "img-src": [SELF, "data:"],
        "connect-src": [SELF], "frame-ancestors": [NONE], "form-action": [SELF], "base-uri": [NONE],
        "object-src": [NONE],
    },
}
LOOSE_CSP = {  # sent by portal.kernel.requests for the excluded prefixes
    "script-src": [SELF, UNSAFE_EVAL, UNSAFE_INLINE], "style-src": [SELF, UNSAFE_INLINE], "img-src": [SELF, "data:"],
}
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SECURE = SITE_URL.startswith("https://")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE
SECURE_SSL_REDIRECT = env.flag("SSL_REDIRECT", SECURE)
SECURE_REDIRECT_EXEMPT = [r"^(livez|readyz)$"]  # load balancers ask without TLS
SECURE_HSTS_SECONDS = 31536000 if SECURE else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.flag("BEHIND_PROXY") else None
if SECURE and DEMO:
    raise RuntimeError("MAINS_DEMO=1 makes users with known passwords: not with an https MAINS_URL.")
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

# In each window (portal.kernel.rest.rate), 0 being no limit: of each API key or browser, of all those of one user, from one
# address, and from one address without a valid key or session. While Redis is away each of so many processes counts alone.
_REQUESTS = env.integer("API_REQUESTS_A_MINUTE", 1200)
API_RATE = {"requests": _REQUESTS, "user_requests": env.integer("API_REQUESTS_A_MINUTE_OF_A_USER", 5 * _REQUESTS),
            "address_requests": env.integer("REQUESTS_A_MINUTE_FROM_AN_ADDRESS", 10 * _REQUESTS),
            "stranger_requests": env.integer("STRANGERS_REQUESTS_A_MINUTE", _REQUESTS // 4),
            "processes": env.integer("WEB_PROCESSES", 2), "window_s": 60,
            # In an hour, of each organization (billing.vouchers).
            "voucher_tries": env.integer("VOUCHERS_TRIED_AN_HOUR", 20)}

# What operators do with tenants' things only with a live emergency access (tenants.glass): open "consoles", or any "changes".
BREAK_GLASS = env.text("BREAK_GLASS_FOR", "consoles")

# The engine (portal.kernel.operations.engine). Seconds.
# Off in tests that drive the engine themselves.
DOORBELLS = env.flag("DOORBELLS", True)
ENGINE = {"lease_s": env.integer("ENGINE_LEASE_S", 30), "person_after": env.integer("ENGINE_PERSON_AFTER", 8),
          "backoff_s": (1, 2, 4, 8, 15, 30, 60)}

# Where webhooks may be sent besides public addresses, and where never (tenants.webhooks.addresses): networks with commas.
WEBHOOKS = {
    "allowed_networks": [ip_network(word) for word in env.words("WEBHOOK_ALLOWED_NETWORKS")],
    "refused_networks": [ip_network(word) for word in env.words("WEBHOOK_REFUSED_NETWORKS")],
    "plain_http": env.flag("WEBHOOK_PLAIN_HTTP", DEMO),  # http:// shows payloads to everybody under way
    "ca_file": env.text("WEBHOOK_CA_FILE", ""),  # certificates of a company's own authority, trusted beside the public ones
}

# Files of the books (billing.exports): where they lie, which workers and the web share; and below which directory schedules may
# leave some, a folder for each organization (empty: to addresses only); how many its members may ask for within a day (0: any).
EXPORTS = {"directory": Path(env.text("EXPORTS_DIR", str(STATE_DIR / "exports"))), "folders": env.text("EXPORT_FOLDERS_DIR", ""),
           "a_day": env.integer("EXPORTS_A_DAY", 100)}

# For how many days things that are over stay known (portal.upkeep.retention); 0: for ever, as for the audit trail.
RETENTION = {
    "operation_days": env.integer("RETAIN_OPERATION_DAYS", 400), "audit_days": env.integer("RETAIN_AUDIT_DAYS", 0),
    "key_days": env.integer("RETAIN_KEY_DAYS", 400), "sign_in_days": env.integer("RETAIN_SIGN_IN_DAYS", 90),
    "placement_days": env.integer("RETAIN_PLACEMENT_DAYS", 90), "console_days": env.integer("RETAIN_CONSOLE_DAYS", 30),
    "delivery_days": env.integer("RETAIN_DELIVERY_DAYS", 30), "notice_days": env.integer("RETAIN_NOTICE_DAYS", 30),
    "export_days": env.integer("RETAIN_EXPORT_DAYS", 14), "bill_mail_days": env.integer("RETAIN_BILL_MAIL_DAYS", 400),
    "schedule_run_days": env.integer("RETAIN_SCHEDULE_RUN_DAYS", 90),
}

# An instance is started with room to grow to so many times its vCPUs and memory without another start; 1: none.
HEADROOM = max(1, env.integer("HEADROOM", 4))
# How many consoles a user may have open, and how many may be at an instance (those that only look are counted apart); 0: any.
CONSOLES_PER_USER = env.integer("CONSOLES_PER_USER", 20)
CONSOLES_PER_INSTANCE = env.integer("CONSOLES_PER_INSTANCE", 20)
# For how long measurements stay as they were taken, every 15 s (compute.monitoring); sums of minutes, hours and days stay longer.
METRICS_RAW_HOURS = env.integer("METRICS_RAW_HOURS", 24)
if not 6 <= METRICS_RAW_HOURS <= 120:
    raise RuntimeError("METRICS_RAW_HOURS is from 6 to 120.")
# Whoever sends this as a bearer token reads /metrics from elsewhere; empty: nobody does.
METRICS_TOKEN = env.text("METRICS_TOKEN", "")

# Which host takes an instance (compute.hosts.placement): weights, and how many GiB a pool promises for each free one.
PLACEMENT = {"weights": {"room": 1.0, "quiet": 0.05}, "disk_ratio": 4}

# The portal's own teal, light to dark, in place of the theme's purple.
_TEAL = {"50": "#eef8fa", "100": "#d5eef2", "200": "#aadde5", "300": "#74c6d3", "400": "#3ba9bb", "500": "#178ea2",
         "600": "#0b7285", "700": "#0a5d6d", "800": "#0b4a57", "900": "#0c3b46", "950": "#07252d"}
UNFOLD = {"SITE_TITLE": "Mains", "SITE_HEADER": "Mains", "SITE_SUBHEADER": _("Site administration"), "SITE_SYMBOL": "water_drop",
          "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: f"/{STATIC_URL}mains.svg"}],
          "COLORS": {"primary": _TEAL}, "SHOW_LANGUAGES": True, "SHOW_BACK_BUTTON": False,
          "STYLES": [lambda request: static("admin.css")], "DASHBOARD_CALLBACK": "portal.admin.board.context",
          "SIDEBAR": {"show_search": True, "navigation": "portal.admin.sidebar.navigation"}}

DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False  # it believes what anybody says; portal.kernel.requests binds the real one
DJANGO_STRUCTLOG_STATUS_START_LOG_LEVEL = logging.DEBUG  # one line of log for each request, when it is answered
LOGGING = {
    "version": 1, "disable_existing_loggers": False,
    "formatters": {"json": {"()": "portal.kernel.logs.JsonFormatter"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["console"], "level": env.text("LOG_LEVEL", "INFO")},
    "loggers": {"django.server": {"level": "WARNING"}, "axes": {"level": "WARNING"}, "daphne": {"level": "WARNING"},
                "weasyprint": {"level": "WARNING"}, "fontTools": {"level": "WARNING"},
                # Its debug messages show handshakes: cookies, keys and console tickets.
                "uvicorn.error": {"level": "INFO"}},
}
from portal.kernel import logs  # noqa: E402  (configures structlog once; it reads nothing from Django)

logs.configure()
