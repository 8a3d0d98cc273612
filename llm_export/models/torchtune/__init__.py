"""Models with torchtune's code and exportable attention."""
