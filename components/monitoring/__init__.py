"""Live traffic and catalogue against what the champion was judged on."""
