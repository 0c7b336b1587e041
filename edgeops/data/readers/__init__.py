"""Readers: what a source holds becomes items one at a time, or is set aside with a reason. See ``choose``."""
