"""Runs to TensorBoard and to HTTP: the plugin, and the routes that its tab reads (`docs/http_api.md`)."""
