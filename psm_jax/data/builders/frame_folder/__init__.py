"""TFDS builder of people's videos kept as folders of frames."""
