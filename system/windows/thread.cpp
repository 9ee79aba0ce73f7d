#include "thread.h"

#include <windows.h>

namespace pith::internal {
namespace {

DWORD WINAPI run(LPVOID opaque) {
  const Thread* thread = static_cast<const Thread*>(opaque);
  thread->run(thread->context);
  return 0;
}

// While a library is unloaded, none of its threads can end. So one that has made threads stays until the process ends.
bool stay_loaded() {
  HMODULE module = nullptr;
  return GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_PIN,
                            reinterpret_cast<LPCWSTR>(&run), &module) != 0;
}

}  // namespace

bool start(Thread* thread, size_t stack_bytes) {
  if (!stay_loaded()) return false;
  const HANDLE handle = CreateThread(nullptr, stack_bytes, run, thread, STACK_SIZE_PARAM_IS_A_RESERVATION, nullptr);
  thread->id = reinterpret_cast<uintptr_t>(handle);
  return handle != nullptr;
}

void join(const Thread* thread) {
  const HANDLE handle = reinterpret_cast<HANDLE>(thread->id);
  WaitForSingleObject(handle, INFINITE);
  CloseHandle(handle);
}

bool call_in_forks(void (*)()) { return true; }  // there are no forks

void sleep_milliseconds(uint32_t n) { Sleep(n); }

}  // namespace pith::internal
