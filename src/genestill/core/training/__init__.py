"""The training loop of all stages: schedule, optimizer, batches, checkpoints, history."""
