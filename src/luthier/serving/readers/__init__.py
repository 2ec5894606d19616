"""What the body of a request says: rows, pictures, mixes, within limits."""
