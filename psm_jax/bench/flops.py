"""Arithmetic of a method's step, counted from the shapes of its program.

Counted are the multiply-accumulates (MACs; one is two FLOPs) of convolutions
and matrix products that the result depends on, as mathematics has them: taps on
padding count, zeros put between pixels by a strided convolution's gradient do
not, and neither does what the compiler would leave out, such as gradients of
frozen weights. Activations, sampling and the optimiser are not counted.

MACs are a Counter of 'convolution' and 'product': the latter those of dense
layers, attention, Gram matrices, resizing and blurring; `total()` is all.
"""

import math
from collections import Counter
from collections.abc import Callable

import jax
import jax.numpy as jnp
import ml_collections
from jax.extend import core

from psm_jax.methods import interface


def step_macs(
  method: interface.Method,
  config: ml_collections.ConfigDict,
  *,
  with_gradient: bool = True,
) -> Counter[str]:
  """Returns what one training step of one model takes.

  Args:
    method: What is learned.
    config: The experiment; `train.batch_size` is read.
    with_gradient: False for the loss alone.
  """
  batch = method.batch_shapes(config.train.batch_size)
  schedule = interface.Schedule(
    epoch=_shape((), jnp.int32),
    gap=_shape((), jnp.int32),
    learning_rate=_shape((), jnp.float32),
    neutral_weight=_shape((), jnp.float32),
  )
  params, method_state = jax.eval_shape(method.init, jax.random.key(0))

  def loss(params, method_state, batch, schedule):
    return method.loss(
      jax.random.key(0), params, method_state, method.shared, batch, schedule
    )[0]

  step = jax.value_and_grad(loss) if with_gradient else loss
  return count(step, params, method_state, batch, schedule)


def embedding_macs(method: interface.Method) -> Counter[str]:
  """Returns what the embedding of one frame takes."""
  params, method_state = jax.eval_shape(method.init, jax.random.key(0))
  frames = _shape((1, method.size_px**2 * 3), jnp.uint8)
  faces = (frames,) if method.uses_canonical else ()
  return count(method.embed, params, method_state, frames, *faces)


def count(function: Callable, *args: interface.Tree) -> Counter[str]:
  """Returns the MACs of a function of arrays; nothing is compiled or run.

  Args:
    function: Traceable by JAX.
    *args: Arrays, or their shapes and dtypes.

  Raises:
    ValueError: If the function loops an unknown number of times around
      something that would count.
  """
  return _count_all(jax.make_jaxpr(function)(*args).jaxpr)


_shape = jax.ShapeDtypeStruct


def _count(program, is_wanted):
  """Returns the MACs of some outputs of a program, and which inputs they need.

  Args:
    program: A jaxpr.
    is_wanted: A bool an output.

  Returns:
    Their MACs, and a bool an input.
  """
  needed = {
    id(var)
    for var, wanted in zip(program.outvars, is_wanted, strict=True)
    if wanted
  }
  total = Counter()
  for equation in reversed(program.eqns):
    wanted = [id(var) in needed for var in equation.outvars]
    if any(wanted):
      macs, takes = _count_equation(equation, wanted)
      total += macs
      needed |= {
        id(var)
        for var, taken in zip(equation.invars, takes, strict=True)
        if taken and not isinstance(var, core.Literal)
      }
  return total, [id(var) in needed for var in program.invars]


def _count_equation(equation, wanted):
  """Returns the MACs of one operation, and which inputs it needs."""
  all_inputs = [True] * len(equation.invars)
  name, params = equation.primitive.name, equation.params
  if name == 'conv_general_dilated':
    return Counter(convolution=_convolution_macs(equation)), all_inputs
  if name == 'dot_general':
    return Counter(product=_product_macs(equation)), all_inputs
  inner = _inner_programs(params)
  if name == 'scan':
    # Iterations feed each other, so everything inside is wanted.
    macs = sum(map(_count_all, inner), Counter())
    times = params['length']
    return Counter({kind: times * n for kind, n in macs.items()}), all_inputs
  if name == 'while':
    if any(_count_all(program).total() for program in inner):
      raise ValueError(
        'A loop of unknown length multiplies matrices: its MACs are unknown.'
      )
    return Counter(), all_inputs
  if name == 'cond' and params.get('branches_platforms'):
    # Forms of one result: the leanest is the one that mathematics needs.
    macs, takes = min(
      (_count(program, wanted) for program in inner),
      key=lambda counted: counted[0].total(),
    )
    return macs, [True, *takes]
  if name == 'cond':
    return max(map(_count_all, inner), key=Counter.total), all_inputs
  if len(inner) == 1 and (
    len(inner[0].invars) == len(equation.invars)
    and len(inner[0].outvars) == len(equation.outvars)
  ):
    return _count(inner[0], wanted)
  return sum(map(_count_all, inner), Counter()), all_inputs


def _count_all(program):
  """Returns the MACs of all outputs of a program."""
  return _count(program, [True] * len(program.outvars))[0]


def _inner_programs(params):
  """Returns the programs that an operation runs."""
  return [
    item.jaxpr if isinstance(item, core.ClosedJaxpr) else item
    for value in params.values()
    for item in (value if isinstance(value, (tuple, list)) else (value,))
    if isinstance(item, (core.ClosedJaxpr, core.Jaxpr))
  ]


def _convolution_macs(equation):
  kernel = equation.invars[1].aval.shape
  params = equation.params
  layout = params['dimension_numbers'].rhs_spec
  # The kernel's own channel count is that of one group already.
  taps = kernel[layout[1]] * math.prod(kernel[axis] for axis in layout[2:])
  total = math.prod(equation.outvars[0].aval.shape) * taps
  shared = params['batch_group_count'] * math.prod(params['lhs_dilation'])
  return total // shared


def _product_macs(equation):
  (contracted, _), _ = equation.params['dimension_numbers']
  shape = equation.invars[0].aval.shape
  length = math.prod(shape[axis] for axis in contracted)
  return math.prod(equation.outvars[0].aval.shape) * length
