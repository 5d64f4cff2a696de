"""Times as operators compare them: the same length in every row, 24 hours."""
DATE_FORMAT = "Y-m-d"
DATETIME_FORMAT = SHORT_DATETIME_FORMAT = "Y-m-d H:i:s"
