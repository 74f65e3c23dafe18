"""Results as a page to look at: one HTML file, offline, that runs nothing but its own scripts.

`build_page` (page.py) puts a page together from the files here; `round_page` (round_report.py)
gathers what it shows of a round.
"""
