"""Days of a hub that shares its power: simulated, judged by an account of their own, and spoilt by planted bugs."""
