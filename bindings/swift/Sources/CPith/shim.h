/* The C ABI as a module for Swift: where pith.h lies is pkg-config's to say. */
#ifndef PITH_SHIM_H
#define PITH_SHIM_H

#include <pith/pith.h>

#endif
