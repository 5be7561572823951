"""Work of many steps on many cases, resumable: what brings training and evaluation together."""
