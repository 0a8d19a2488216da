"""Other trainers' estimators, called in their own installed code."""
