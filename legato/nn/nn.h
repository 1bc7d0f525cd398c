// Neural networks: modules, layers, losses, initializers, optimizers.
#pragma once

#include "legato/nn/activations.h"
#include "legato/nn/compile.h"
#include "legato/nn/init.h"
#include "legato/nn/layers.h"
#include "legato/nn/losses.h"
#include "legato/nn/module.h"
#include "legato/nn/optim.h"
#include "legato/nn/recurrent.h"
#include "legato/nn/schedules.h"
#include "legato/nn/sequential.h"
#include "legato/nn/transformer.h"
