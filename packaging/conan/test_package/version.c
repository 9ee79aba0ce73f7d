/* Links the package: 0 if the library is of its header's version, and refuses what is no model. */
#include <pith/pith.h>
#include <stdio.h>

int main(void) {
  static const char kNoModel[PITH_ALIGNMENT + 24] = "no model";
  pith_error error;
  size_t bytes = 0;
  const char* data = kNoModel + pith_alignment_shift(kNoModel);
  const pith_status status = pith_model_bytes(data, 24, &bytes, &error);
  printf("pith %s: %s\n", pith_version(), error.message);
  return pith_version_number() == PITH_VERSION_NUMBER && status == PITH_E_MAGIC ? 0 : 1;
}
