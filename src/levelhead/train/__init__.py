"""Post-training of language models with rewards, so that they stay honest about what they know."""
