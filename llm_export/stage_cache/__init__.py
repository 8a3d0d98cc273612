"""The content-addressed cache of stage results: store, keys, serializers."""
