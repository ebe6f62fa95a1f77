"""The other sides, for the demo and for tests: an embedded CSMS on the package ``ocpp``, and the narrated tour.

Nothing of a running hub imports this package.
"""
