// Token ids as people write them into a file.
#ifndef PITH_CLI_ID_FILE_H
#define PITH_CLI_ID_FILE_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pith::cli {

// Decimal numbers with white space or one comma between them, which may also end the text. `vocab_size` > 0. Throws
// std::runtime_error that names the number by its place (from 1), its line and its value, or says that there is none.
std::vector<int32_t> parse_ids(std::string_view text, uint32_t vocab_size);

// The same of a file; the error names that too.
std::vector<int32_t> read_ids(const std::string& path, uint32_t vocab_size);

}  // namespace pith::cli

#endif
