"""What the commands share: arguments, exit status, progress."""
