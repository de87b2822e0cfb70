"""Many models at once: the model axis, the device axis, frames and memory.

`population` adds the axes to one model's update (`update`); `feed` and `stream`
bring a step's frames; `programs` embeds and draws.
"""
