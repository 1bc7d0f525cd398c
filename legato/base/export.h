// Symbol visibility of the shared library: everything is hidden but what is marked LEGATO_API.
#pragma once

#if defined(__GNUC__)
#define LEGATO_API __attribute__((visibility("default")))
#else
#define LEGATO_API
#endif
