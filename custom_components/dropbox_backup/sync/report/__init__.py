"""What people are told: the state, problems and alarms."""
