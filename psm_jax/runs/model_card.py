"""What an exported model says of itself in words."""

import json
from collections.abc import Mapping
from typing import Any


def text(content: Mapping[str, Any]) -> str:
  """Returns the README.md that goes with the content of a model.json."""
  method, data = content['config']['method'], content['config']['data']
  people = ', '.join(content['cohort']) or 'unknown'
  before = ', '.join(content['pretrained_on']) or '-'
  steps = 'unknown' if content['steps'] is None else f'{content["steps"]:,}'
  return f"""# {content['model_id']}

A model of facial movement, learned without labels.

| | |
|---|---|
| method | {method['name']}, width {method['width']:g} |
| frames | {data['size_px']} px, alignment {data['align']} |
| learned from | {people} |
| pretrained on | {before} |
| gradient steps | {steps} |
| origin | {content['origin']} |
| versions | {json.dumps(content['versions'])} |

```python
import psm_jax

model = psm_jax.load('{content['model_id']}')
table = model.transform('recording.mp4')  # a row for every frame
```

A model of a person's face is biometric data, as the videos are that it learned
from: a decoder can draw the person. Keep it as you keep them, and ask for the
person's consent before you give it away. Embeddings of two models do not share
coordinates. Nothing here says how well the model reads faces that it has not
learned from; measure it on yours.
"""
