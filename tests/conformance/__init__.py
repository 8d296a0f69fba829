"""Public test suites of other projects, through an edge and a tunnel (`make conformance`)."""
