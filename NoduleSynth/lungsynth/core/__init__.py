"""Values, contracts and errors: what every other part of the library speaks in."""
