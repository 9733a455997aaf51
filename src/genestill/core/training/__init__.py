"""The one training loop, which all stages use: schedule, optimizer, batches, checkpoints, history."""
