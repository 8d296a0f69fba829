"""The wire protocol, without input or output: docs/protocol.md in code."""
