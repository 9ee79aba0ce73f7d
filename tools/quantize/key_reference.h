// What is known of the configuration's keys (src/model/config_keys.h), for people and for Python.
#ifndef PITH_QUANTIZE_KEY_REFERENCE_H
#define PITH_QUANTIZE_KEY_REFERENCE_H

#include <string>

#include "model/config_keys.h"

namespace pith::quantize {

using namespace internal;

// A value of the key as people read it: a word, true or false, or the shortest digits that give the number back.
std::string value_text(const ConfigKey& key, double value);

// docs/keys.md.
std::string keys_page();
// tools/train/config_keys.json: an array of objects, one a key.
std::string keys_json();

}  // namespace pith::quantize

#endif
