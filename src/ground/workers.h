// The library's own threads: one pool for the process, from which teams borrow for a region at a time.
//
// Sessions end without a word to the library, so no thread can be a session's own: a worker that nobody has borrowed
// touches nothing but the pool, which is static. Workers are made when sessions are, never later; where the system
// gives no thread, there is one fewer, and no call fails. A child of fork begins with none of them. Workers run on the
// CPUs of the thread that made them, and help only teams of the same.
#ifndef PITH_GROUND_WORKERS_H
#define PITH_GROUND_WORKERS_H

#include <cstdint>

#include "cpu_set.h"

namespace pith::internal {

// Looks before a wait becomes a sleep: about 50 us, longer than the serial stretches between the jobs of a token, and
// short beside the milliseconds after which a system takes a core away.
inline constexpr int32_t kSpins = 2000;

// Makes n_more workers for these CPUs, but no more than one fewer than the CPUs in all: with the caller of a region
// they are as many. Returns when they wait for work, so that no system call of their beginnings comes later.
void make_workers(const CpuSet& cpus, int32_t n_more);

// How many there are for these CPUs, at work or not.
int32_t count_workers(const CpuSet& cpus);

// What a borrowed thread runs once. `thread`: from 1 on, in the order of the loans.
using Errand = void (*)(void* context, int32_t thread);

// A worker that was asked to come. It may come late, or, where the system gives it no core, not at all.
struct Loan {
  uint32_t worker;
  uint32_t call;
};

// Asks up to n idle workers to run the errand, those first that have just worked and are still awake. Returns how many;
// loans: [n].
int32_t borrow_workers(const CpuSet& cpus, int32_t n, Errand errand, void* context, Loan* loans);

// Returns when none of them runs the errand, or will. Who has not come is not waited for.
void return_workers(const Loan* loans, int32_t n);

// Whether this process is the child of a fork that happened after watch_forks(), which says whether it could be done.
bool has_forked();
bool watch_forks();

// How many of n threads the system gives now. They are gone afterwards, so that this is a guess about the next ones.
int32_t probe_threads(int32_t n);

}  // namespace pith::internal

#endif
