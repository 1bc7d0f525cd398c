"""A module a group of the table: `rows(ceilings, small)` gives its rows."""
