"""What a budget was turned into: the plan, a setting, the request in a file, the ledger."""
