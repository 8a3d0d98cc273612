"""Token mixers with a recurrent state of fixed size, in place of or beside attention."""
