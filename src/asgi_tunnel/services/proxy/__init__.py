"""The reverse proxy: hands requests to local services over HTTP/1.1 and WebSocket."""
