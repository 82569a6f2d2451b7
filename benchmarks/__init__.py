"""How fast ARIA is, measured beside bare Python and beside what else people use. See README.md."""
