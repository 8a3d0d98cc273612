"""Tasks, one file each: what a program is for, and how it is proven and measured."""
