"""What tenants fill in: a new instance, an SSH key, which floating IP goes where, what things are called."""
from .addresses import AssociateForm, PortAddressForm
from .descriptions import DescriptionForm
from .guards import LockForm
from .keys import KeyForm, NewKeyForm
from .orders import OrderForm, suggested_name
from .sizes import ResizeForm

__all__ = ["AssociateForm", "DescriptionForm", "KeyForm", "LockForm", "NewKeyForm", "OrderForm", "PortAddressForm", "ResizeForm",
           "suggested_name"]
