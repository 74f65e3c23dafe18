"""The version: of the package, in receipts, and of what hatch builds."""

__version__ = "0.2.0"
