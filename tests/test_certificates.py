"""X.509, with openssl as the independent judge."""
