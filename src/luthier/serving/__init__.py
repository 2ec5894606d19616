"""A model behind HTTP: rows in, predictions out.

`rows` says what a row may hold and names what is wrong with one; `batching` predicts the rows of requests that wait
together; `app` is the FastAPI application.
"""
