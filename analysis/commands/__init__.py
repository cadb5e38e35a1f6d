"""What each command does with a run's folder, one file a command: a frozen request, its arguments, and its work."""
