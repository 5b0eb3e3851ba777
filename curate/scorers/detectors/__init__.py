"""Objects, artefacts and marks that are found in a picture."""
