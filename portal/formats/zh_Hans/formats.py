"""Times as operators compare them: the same length in every row, 24 hours. Amounts as bills in China group them: by thousands."""
DATE_FORMAT = "Y-m-d"
DATETIME_FORMAT = SHORT_DATETIME_FORMAT = "Y-m-d H:i:s"
NUMBER_GROUPING, THOUSAND_SEPARATOR = 3, ","
