"""Endpoints, each with its pages."""
