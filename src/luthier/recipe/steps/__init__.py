"""The six steps of the recipe, each a function that leaves its decisions in the ledger."""
