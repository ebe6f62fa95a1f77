"""The other sides, for the demo, for tests, and for people who integrate with us.

An embedded CSMS on the package ``ocpp`` with its ledger and personalities, a bad network, controllers with vehicles out
of seeded scenarios, pytest fixtures, and the narrated tour. Nothing of a running hub imports this package.
"""
