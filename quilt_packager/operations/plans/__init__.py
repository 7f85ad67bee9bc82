"""Previews of packages: objects, duration, price."""
