"""Reading real data into training samples; splits are by patient."""
