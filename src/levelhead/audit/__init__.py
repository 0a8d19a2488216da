"""Audit: predictions in, an honest verdict out (`summary`, `charts`, `report`, `gate`)."""
