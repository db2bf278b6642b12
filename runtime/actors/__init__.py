"""Who does it: the run actors, the workers that call tools for them, and the supervisor that watches over both."""
