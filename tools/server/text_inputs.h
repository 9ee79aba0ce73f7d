// Texts that a client sends to be gone on with or embedded: strings, or token ids.
#ifndef PITH_SERVER_TEXT_INPUTS_H
#define PITH_SERVER_TEXT_INPUTS_H

#include <cstdint>
#include <vector>

#include "fields.h"
#include "served_model.h"

namespace pith::server {

// Tokens of each: of a string, an array of strings, an array of ids, or an array of those.
std::vector<std::vector<int32_t>> read_inputs(const Fields& fields, const char* name, const ServedModel& served);

}  // namespace pith::server

#endif
