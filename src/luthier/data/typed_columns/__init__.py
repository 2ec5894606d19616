"""Columns of a table and what each is: numbers, categories, times, text, and the target."""
