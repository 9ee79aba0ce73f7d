// A float for a text of decimals.
#ifndef PITH_CLI_SHORTEST_H
#define PITH_CLI_SHORTEST_H

namespace pith::cli {

// The number with the fewest digits that is this float: written out as a double, a float has 17 digits, of which 9 say
// it.
double shortest(float value);

}  // namespace pith::cli

#endif
