"""What is trained: members and their settings, batches, masks, the state."""
