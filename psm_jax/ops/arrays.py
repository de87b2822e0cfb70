"""What functions take for an array: JAX's, or NumPy's, which JAX makes its own.

Annotations say shapes and dtypes by it, as in Float[Array, 'B H W C'], with the
axes that the module's docstring names.
"""

import jax
import numpy as np

Array = jax.Array | np.ndarray
