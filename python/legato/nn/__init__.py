"""Neural networks: modules, layers, losses, initializers.

A model is a subclass of `Module`; `value_and_grad` differentiates a loss with respect to its parameters, and an
optimizer of `legato.optimizers` updates it.
"""

from legato.nn import init as init
from legato.nn import layers as layers
from legato.nn import losses as losses
from legato.nn import utils as utils
from legato.nn.layers import *  # noqa: F403
from legato.nn.layers import activations as activations
from legato.nn.layers import base as base
from legato.nn.layers import containers as containers
from legato.nn.layers import convolution as convolution
from legato.nn.layers import convolution_transpose as convolution_transpose
from legato.nn.layers import dropout as dropout
from legato.nn.layers import embedding as embedding
from legato.nn.layers import linear as linear
from legato.nn.layers import normalization as normalization
from legato.nn.layers import pooling as pooling
from legato.nn.layers import positional_encoding as positional_encoding
from legato.nn.layers import quantized as quantized
from legato.nn.layers import recurrent as recurrent
from legato.nn.layers import transformer as transformer
from legato.nn.layers import upsample as upsample
from legato.nn.utils import average_gradients as average_gradients
from legato.nn.utils import value_and_grad as value_and_grad
