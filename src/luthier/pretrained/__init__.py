"""What a pretrained network gives: heads on its features, blocks unfrozen where that gains."""
