"""The detectors: one module for each kind of error, which discovers rules and checks them.

A module has `TYPES`, the types of its rules; `discover(table)`, which yields the rules the table clearly keeps to; and
`check(rule, table)`, which yields what in a table breaks one. False alarms come first: in real tables far fewer than one
value in a hundred is wrong, so a detector is silent where the column does not clearly say what it holds.
"""
