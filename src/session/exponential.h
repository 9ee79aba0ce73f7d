// e^x and ln x in double, of the library's own: IEEE arithmetic in a fixed order, so the same bits on every machine.
#ifndef PITH_SESSION_EXPONENTIAL_H
#define PITH_SESSION_EXPONENTIAL_H

namespace pith::internal {

// e^x for x <= 0, to 1e-15; 0 below -700.
double exp_negative(double x);

// ln x for finite x >= 1, to 1e-15.
double ln_above_one(double x);

}  // namespace pith::internal

#endif
