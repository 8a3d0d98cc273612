"""Finished stages on disk, by content: store, keys, serializers."""
