"""Where the time of a step goes: map what ExecuTorch's tracer records to the model's modules."""
