"""What passes between a visitor and an upstream: placement, HTTP, WebSocket."""
