"""Words as they come: manifests, captions, what recognisers write, and values in their fields."""
