"""The MLflow database that lies in the home: made, moved with it, shared with the local stack."""
