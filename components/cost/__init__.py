"""What a run costs: seconds, memory, processor hours and energy, measured where the machine tells."""
