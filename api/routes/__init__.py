"""The HTTP endpoints, one module per resource; each turns a request into one engine call and its result into bytes."""
