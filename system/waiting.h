// How a thread sleeps until a word of memory changes.
#ifndef PITH_SYSTEM_WAITING_H
#define PITH_SYSTEM_WAITING_H

#include <atomic>
#include <cstdint>

namespace pith::internal {

// Sleeps while *word == value, or returns at once; may return early.
void sleep_on(std::atomic<uint32_t>* word, uint32_t value);

// Ends the sleep of up to n_threads that sleep on the word. It must have another value by now.
void wake(std::atomic<uint32_t>* word, uint32_t n_threads);

// In a child of fork, where nobody sleeps any more, whatever the parent's threads were at.
void forget_sleepers();

}  // namespace pith::internal

#endif
