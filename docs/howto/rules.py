from txconnect import allOf, anyOf, reportOnly
from txconnect.policy import HostsPolicy, UsersPolicy

# Everybody reaches the package index, and ada reaches everything.
rules = anyOf(HostsPolicy("pypi.example", "*.pypi.example"), UsersPolicy("ada"))

# Would this be missed?
trial = reportOnly(allOf(rules, HostsPolicy("pypi.example")))
