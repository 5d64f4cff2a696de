from .budgets import Budget, BudgetAlarm
from .collections import Dunning, Rung
from .counters import Counter, CounterSample
from .credit import Credit, Voucher, VoucherUse
from .exports import Export, ExportSchedule
from .invoices import (
    BillingProfile,
    Charge,
    CreditUse,
    Invoice,
    InvoiceLine,
    Issuer,
    Payment,
    Series,
    TaxRate,
)
from .ledger import Account, Entry, Leg
from .mailing import ClosingFailure, InvoiceMail
from .prices import Price, PriceBook, PriceTier, Terms
from .usage import Outage, UsageInterval

__all__ = ["Account", "BillingProfile", "Budget", "BudgetAlarm", "Charge", "ClosingFailure", "Counter",
           "CounterSample", "Credit", "CreditUse", "Dunning", "Entry", "Export", "ExportSchedule", "Invoice",
           "InvoiceLine", "InvoiceMail", "Issuer", "Leg", "Outage", "Payment", "Price", "PriceBook", "PriceTier",
           "Rung", "Series", "TaxRate", "Terms", "UsageInterval", "Voucher", "VoucherUse"]
