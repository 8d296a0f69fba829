"""OAuth 2.1 in front of an MCP server that has none: the rules, without pages and store.

The edge is the authorization server of each hostname, and guards what a policy with
``oauth = true`` stands in front of. Pages and endpoints are in ``login.oauth``, rows in
``storage.oauth``.
"""
