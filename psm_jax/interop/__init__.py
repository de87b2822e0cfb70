"""Reference and pretrained weights, in and out."""
