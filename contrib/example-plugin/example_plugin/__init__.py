"""A plugin for ARIA: operations that templates call by name."""
