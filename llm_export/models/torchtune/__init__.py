"""Models whose code is torchtune's, with attention that exports."""
