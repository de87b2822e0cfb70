"""TensorFlow Datasets builders; one example is one video of one person."""
