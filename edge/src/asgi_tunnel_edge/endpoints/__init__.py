"""What the edge itself serves: ASGI apps in its own process, on paths that no app can have.

An endpoint claims a request before guards and routes are asked, and names the route to its app; the
exchange is the same as every other one. Called by :mod:`..dispatch`; made and started by
``server``. What a page says is the business of the app behind the endpoint.
"""
