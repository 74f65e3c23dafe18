"""Results as a page to look at: one HTML file that needs no network and runs only its own scripts.

`build_page` (page.py) puts a page together from the files in web/; `round_page` (rounds.py) and
`evaluation_page` (eras.py) gather what it shows; plots.py draws with matplotlib instead.
"""
