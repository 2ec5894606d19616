"""The studio: a browser page that follows runs as they grow, and labs whose sliders compute what they show.

`page` says what a lab's page is; `small`, `descent` and `networks` hold the pages, plain functions of their controls;
`live` reads runs under way; `app` puts them into the browser.
"""
