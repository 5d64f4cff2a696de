"""What a guest's password may be, and how it is kept: crypt's SHA-512, as the guest's own /etc/shadow has it."""
import ctypes
import secrets
import string

from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _

SHORTEST, LONGEST = 8, 72
PASSWORD = RegexValidator(r"\A[!-~]([ -~]*[!-~])?\Z", _("Letters, digits and signs of ASCII only, without spaces at its ends."))
_SALT = string.ascii_letters + string.digits + "./"
_WORKSPACE = 32768  # struct crypt_data


def generate() -> str:
    """119 random bits, without signs that keyboards have elsewhere."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _place in range(20))


def hashed(password: str) -> str:
    """As a guest's /etc/shadow has it. The C library's own, for Python's `crypt` is going away."""
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt_r.restype = ctypes.c_char_p
    salt = "$6$" + "".join(secrets.choice(_SALT) for _place in range(16))
    found = library.crypt_r(password.encode(), salt.encode(), ctypes.create_string_buffer(_WORKSPACE)).decode()
    if not found.startswith("$6$"):
        raise OSError("the C library has no SHA-512 crypt")
    return found
