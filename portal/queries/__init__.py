"""Page-shaped reads over all rooms: the dashboards, each in a fixed number of statements."""
from .attention import needing_a_person
from .operators import OperatorBoard, operator_board
from .tenants import Board, tenant_board

__all__ = ["Board", "OperatorBoard", "needing_a_person", "operator_board", "tenant_board"]
