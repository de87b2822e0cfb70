"""On disk: a run's models, plans, checkpoints, metrics and exports."""
