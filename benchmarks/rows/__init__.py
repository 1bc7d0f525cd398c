"""The rows of the table, a module a group; each has rows() -> list[Row]."""
