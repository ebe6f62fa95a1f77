"""The Unix socket: JSON-RPC 2.0 on lines (design rpc.md). It holds no rule of OCPP; every answer comes from the API.

``protocol`` is sans-I/O; ``connection`` is one client, ``server`` all of them; ``client`` is the other side.
"""
