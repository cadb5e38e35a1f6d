"""What a person may ask of networks: one file or folder an analysis, and the one way in which all are run."""
