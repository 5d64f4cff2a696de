"""What operators want to know of money, all of it by sums: `revenue` and margin by month, `receivables` by age, what is
`unbilled` and why, and a `preview` of a month under another book. Nothing is written here, and currencies are never added up.
"""
from billing.reports.preview import Preview, preview
from billing.reports.receivables import Receivables, receivables
from billing.reports.revenue import BY, Group, Revenue, revenue
from billing.reports.unbilled import Unbilled, unbilled

__all__ = ["BY", "Group", "Preview", "Receivables", "Revenue", "Unbilled", "preview", "receivables", "revenue", "unbilled"]
