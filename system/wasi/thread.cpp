// One thread is all there is.
#include "thread.h"

namespace pith::internal {

bool start(Thread*, size_t) { return false; }
void join(const Thread*) {}
bool call_in_forks(void (*)()) { return true; }
void sleep_milliseconds(uint32_t) {}

}  // namespace pith::internal
