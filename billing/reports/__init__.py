"""What operators want to know of money, all of it by sums: `revenue` and margin by month, `receivables` by age, what is
`unbilled` and why, what is `to_close` of a month, and a `preview` of one under another book. Nothing is written here, and
currencies are never added up.
"""
from billing.reports.preview import Preview, preview
from billing.reports.receivables import Receivables, receivables
from billing.reports.revenue import BY, Group, Revenue, revenue
from billing.reports.to_close import ToClose, to_close
from billing.reports.unbilled import Unbilled, unbilled

__all__ = ["BY", "Group", "Preview", "Receivables", "Revenue", "ToClose", "Unbilled", "preview", "receivables", "revenue",
           "to_close", "unbilled"]
