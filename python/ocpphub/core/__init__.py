"""The sans-I/O core: every OCPP rule that is not a frame or a schedule, on an injected notion of now.

Modules here import only :mod:`ocpphub.errors`, :mod:`ocpphub._native`, ``orjson.loads``/``dumps`` and the
pure standard library; ``tests/test_layout.py`` holds that.
"""
